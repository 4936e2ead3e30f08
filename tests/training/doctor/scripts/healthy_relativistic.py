# A sound one: relativistic pairs with R1 and R2, translation, an averaged generator, checkpoints, fixed noise.
import tensorflow as tf
import keras
from keras import layers

Z, SIZE, GAMMA = 64, 64, 5.0


def generator():
    return keras.Sequential([
        keras.Input((Z,)),
        layers.Dense(4 * 4 * 256), layers.LeakyReLU(0.2), layers.Reshape((4, 4, 256)),
        *(layer for f in (128, 64, 32) for layer in (
            layers.UpSampling2D(), layers.Conv2D(f, 3, padding="same"), layers.LeakyReLU(0.2))),
        layers.UpSampling2D(), layers.Conv2D(3, 3, padding="same", activation="tanh"),
    ])


def critic():
    x = inputs = keras.Input((SIZE, SIZE, 3))
    for f in (32, 64, 128, 256):
        x = layers.LeakyReLU(0.2)(layers.Conv2D(f, 4, 2, padding="same")(x))
    return keras.Model(inputs, layers.Dense(1)(layers.Flatten()(x)))


class RpGAN(keras.Model):
    def __init__(self):
        super().__init__()
        self.g, self.ema, self.d = generator(), generator(), critic()
        self.ema.set_weights(self.g.get_weights())

    def compile(self, rate=2e-4):
        super().compile()
        self.g_opt = keras.optimizers.Adam(rate, 0.0, 0.99)
        self.d_opt = keras.optimizers.Adam(rate, 0.0, 0.99)

    def seen(self, images):
        padded = tf.pad(images, [[0, 0], [4, 4], [4, 4], [0, 0]])
        return tf.image.random_crop(padded, tf.shape(images))

    def penalty(self, images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = self.d(images, training=True)
        slopes = tape.gradient(logits, images)
        return logits, tf.reduce_mean(tf.reduce_sum(slopes ** 2, axis=[1, 2, 3]))

    def train_step(self, real):
        z = tf.random.normal((tf.shape(real)[0], Z))
        with tf.GradientTape() as tape:
            fake = self.g(z, training=True)
            r, r1 = self.penalty(self.seen(real))
            f, r2 = self.penalty(self.seen(fake))
            d_loss = tf.reduce_mean(tf.nn.softplus(f - r)) + GAMMA / 2 * (r1 + r2)
        self.d_opt.apply(tape.gradient(d_loss, self.d.trainable_variables), self.d.trainable_variables)
        with tf.GradientTape() as tape:
            fake = self.g(z, training=True)
            f, r = self.d(self.seen(fake), training=True), self.d(self.seen(real), training=True)
            g_loss = tf.reduce_mean(tf.nn.softplus(r - f))
        self.g_opt.apply(tape.gradient(g_loss, self.g.trainable_variables), self.g.trainable_variables)
        for slow, fast in zip(self.ema.variables, self.g.variables):
            slow.assign(0.999 * slow + 0.001 * fast)
        return {"d": d_loss, "g": g_loss}


class Show(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.noise = tf.random.stateless_normal((16, Z), (0, 1))

    def on_epoch_end(self, epoch, logs=None):
        for i, image in enumerate(self.model.ema(self.noise, training=False)):
            keras.utils.save_img(f"{epoch:03}_{i}.png", (image + 1) * 127.5)
        self.model.ema.save("ema.keras")


cards = keras.utils.image_dataset_from_directory("cards", label_mode=None, image_size=(SIZE, SIZE), batch_size=32)
gan = RpGAN()
gan.compile()
gan.fit(cards.map(lambda x: x / 127.5 - 1), epochs=200, callbacks=[Show()])
