# A present-day script: residual networks without norms, relativistic loss, R1 and R2, augmentation, an average
# generator. Nothing is wrong with it.
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SIDE, WIDTH, NOISE, BATCH, GAMMA = 64, 64, 128, 32, 1.0


def block(x, width):
    skip = x if x.shape[-1] == width else layers.Conv2D(width, 1, use_bias=False)(x)
    y = layers.LeakyReLU(negative_slope=0.2)(layers.Conv2D(width, 3, padding="same")(x))
    y = layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="zeros")(y)
    return skip + y


def make_generator():
    z = keras.Input((NOISE,))
    x = layers.Reshape((4, 4, WIDTH))(layers.Dense(4 * 4 * WIDTH)(z))
    for _ in range(4):
        x = layers.UpSampling2D(interpolation="nearest")(x)
        x = block(x, WIDTH)
    return keras.Model(z, layers.Conv2D(3, 1, activation="tanh")(x), name="generator")


def make_critic():
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(WIDTH, 1)(image)
    for _ in range(4):
        x = block(x, WIDTH)
        x = layers.AveragePooling2D()(x)
    return keras.Model(image, layers.Dense(1)(layers.Flatten()(x)), name="critic")


def augment(images):
    images = tf.image.random_flip_left_right(images)
    return images + tf.random.uniform((tf.shape(images)[0], 1, 1, 1), -0.2, 0.2)


def slope(critic, images):
    with tf.GradientTape() as inner:
        inner.watch(images)
        logits = critic(augment(images), training=True)
    gradient = inner.gradient(logits, images)
    return logits, tf.reduce_mean(tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]))


generator, critic = make_generator(), make_critic()
average = keras.models.clone_model(generator)
average.set_weights(generator.get_weights())
g_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.99)
d_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.99)


@tf.function
def train_step(real):
    noise = tf.random.normal((BATCH, NOISE))
    fake = generator(noise, training=True)
    with tf.GradientTape() as tape:
        real_logits, r1 = slope(critic, real)
        fake_logits, r2 = slope(critic, fake)
        d_loss = tf.reduce_mean(tf.nn.softplus(fake_logits - real_logits)) + GAMMA / 2 * (r1 + r2)
    gradients = tape.gradient(d_loss, critic.trainable_variables)
    d_optimizer.apply_gradients(zip(gradients, critic.trainable_variables))

    with tf.GradientTape() as tape:
        fake_logits = critic(augment(generator(noise, training=True)), training=True)
        real_logits = critic(augment(real), training=True)
        g_loss = tf.reduce_mean(tf.nn.softplus(real_logits - fake_logits))
    gradients = tape.gradient(g_loss, generator.trainable_variables)
    g_optimizer.apply_gradients(zip(gradients, generator.trainable_variables))
    for kept, new in zip(average.variables, generator.variables):
        kept.assign(0.999 * kept + 0.001 * new)
    return d_loss, g_loss


def main():
    images = np.load("cards.npz")["images"]
    dataset = tf.data.Dataset.from_tensor_slices(images).repeat().shuffle(1000).batch(BATCH)
    dataset = dataset.map(lambda batch: tf.cast(batch, tf.float32) / 127.5 - 1.0)
    fixed_noise = tf.random.stateless_normal((16, NOISE), seed=(0, 0))
    out = Path("out")
    out.mkdir(exist_ok=True)
    for step, real in enumerate(dataset.take(100_000)):
        d_loss, g_loss = train_step(real)
        if step % 1000 == 0:
            print(step, float(d_loss), float(g_loss))
            for index, picture in enumerate(average(fixed_noise, training=False)):
                keras.utils.save_img(out / f"{step:06d}_{index}.png", picture)
            average.save(out / f"generator_{step:06d}.keras")


if __name__ == "__main__":
    main()
