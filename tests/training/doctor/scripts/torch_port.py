# A PyTorch lesson ported to Keras 3: modules as Model subclasses, one wrapping model with a train_step and two optimizers.
import keras
import tensorflow as tf
from keras import layers, ops

LATENT = 100
IMAGE_DIR = "cards"


class Generator(keras.Model):
    def __init__(self, ngf=64):
        super().__init__()
        self.project = layers.Dense(4 * 4 * ngf * 8, use_bias=False)
        self.bn0 = layers.BatchNormalization()
        self.reshape = layers.Reshape((4, 4, ngf * 8))
        self.up = [layers.Conv2DTranspose(ngf * m, 4, 2, "same", use_bias=False) for m in (4, 2, 1)]
        self.bns = [layers.BatchNormalization() for _ in range(3)]
        self.out = layers.Conv2DTranspose(3, 4, 2, "same", activation="tanh")

    def call(self, z, training=False):
        x = self.reshape(ops.relu(self.bn0(self.project(z), training=training)))
        for conv, bn in zip(self.up, self.bns):
            x = ops.relu(bn(conv(x), training=training))
        return self.out(x)


class Discriminator(keras.Model):
    def __init__(self, ndf=64):
        super().__init__()
        self.convs = [layers.Conv2D(ndf * m, 4, 2, "same") for m in (1, 2, 4, 8)]
        self.drop = layers.Dropout(0.3)
        self.head = layers.Dense(1, activation="sigmoid")

    def call(self, x, training=False):
        for conv in self.convs:
            x = self.drop(ops.leaky_relu(conv(x), 0.2), training=training)
        return self.head(layers.Flatten()(x))


class LitGAN(keras.Model):
    def __init__(self):
        super().__init__()
        self.G = Generator()
        self.D = Discriminator()
        self.criterion = keras.losses.BinaryCrossentropy(from_logits=True)

    def compile(self, lr=2e-4):
        super().compile()
        self.opt_g = keras.optimizers.Adam(lr, beta_1=0.5, beta_2=0.999)
        self.opt_d = keras.optimizers.Adam(lr, beta_1=0.5, beta_2=0.999)

    def train_step(self, real):
        b = ops.shape(real)[0]
        z = keras.random.normal((b, LATENT))

        # train discriminator
        with tf.GradientTape() as tape:
            fake = self.G(z, training=True)
            d_real = self.D(real, training=True)
            d_fake = self.D(fake, training=True)
            loss_d = (self.criterion(ops.ones_like(d_real), d_real) + self.criterion(ops.zeros_like(d_fake), d_fake)) / 2
        grads = tape.gradient(loss_d, self.D.trainable_variables)
        self.opt_d.apply_gradients(zip(grads, self.D.trainable_variables))

        # train generator
        with tf.GradientTape() as tape:
            d_fake = self.D(self.G(z, training=True), training=True)
            loss_g = self.criterion(ops.ones_like(d_fake), d_fake)
        grads = tape.gradient(loss_g, self.trainable_variables)
        self.opt_g.apply_gradients(zip(grads, self.trainable_variables))
        return {"loss_d": loss_d, "loss_g": loss_g}


ds = keras.utils.image_dataset_from_directory(IMAGE_DIR, labels=None, image_size=(64, 64), batch_size=64)
ds = ds.map(lambda x: x / 255.0).prefetch(tf.data.AUTOTUNE)

model = LitGAN()
model.compile()
model.fit(ds, epochs=100)
