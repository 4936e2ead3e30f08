# A custom loop with the hinge loss, compiled by tf.function.
import tensorflow as tf
from tensorflow.keras import Sequential, layers, optimizers

BATCH, Z = 64, 128


def decode(path):
    image = tf.io.decode_png(tf.io.read_file(path), channels=3)
    image = tf.image.resize(image, (64, 64))
    return image / 127.5 - 1.0


data = tf.data.Dataset.list_files("cards/*.png").map(decode).shuffle(4096).batch(BATCH, drop_remainder=True)

gen = Sequential([
    layers.Input((Z,)),
    layers.Dense(4 * 4 * 512),
    layers.Reshape((4, 4, 512)),
    layers.BatchNormalization(), layers.ReLU(),
    layers.UpSampling2D(), layers.Conv2D(256, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(),
    layers.UpSampling2D(), layers.Conv2D(128, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(),
    layers.UpSampling2D(), layers.Conv2D(64, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(),
    layers.UpSampling2D(), layers.Conv2D(3, 3, padding="same", activation="tanh"),
])
disc = Sequential([
    layers.Input((64, 64, 3)),
    layers.Conv2D(64, 4, 2, padding="same"), layers.LeakyReLU(0.1),
    layers.Conv2D(128, 4, 2, padding="same"), layers.BatchNormalization(), layers.LeakyReLU(0.1),
    layers.Conv2D(256, 4, 2, padding="same"), layers.BatchNormalization(), layers.LeakyReLU(0.1),
    layers.Flatten(),
    layers.Dense(1, activation="sigmoid"),
])
g_opt = d_opt = optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.9)


def hinge_d(real, fake):
    return tf.reduce_mean(tf.nn.relu(1.0 - real)) + tf.reduce_mean(tf.nn.relu(1.0 + fake))


def hinge_g(fake):
    return tf.reduce_mean(fake)


@tf.function
def step(real):
    z = tf.random.normal((BATCH, Z))
    with tf.GradientTape() as t:
        fake = gen(z)
        both = disc(tf.concat([real, fake], axis=0))
        d_loss = hinge_d(both[:BATCH], both[BATCH:])
    d_opt.apply_gradients(zip(t.gradient(d_loss, disc.trainable_variables), disc.trainable_variables))
    with tf.GradientTape() as t:
        g_loss = hinge_g(disc(gen(z)))
    g_opt.apply_gradients(zip(t.gradient(g_loss, gen.trainable_variables), gen.trainable_variables))
    return d_loss, g_loss


manager = tf.train.CheckpointManager(tf.train.Checkpoint(gen=gen, disc=disc), "ckpt", 3)
fixed = tf.random.normal((16, Z))
for epoch in range(200):
    for real in data:
        d_loss, g_loss = step(real)
    tf.print(epoch, d_loss, g_loss)
    manager.save()
    grid = tf.concat(tf.unstack(gen(fixed, training=False)), axis=1)
    tf.io.write_file(f"epoch_{epoch}.png", tf.io.encode_png(tf.cast((grid + 1) * 127.5, tf.uint8)))
