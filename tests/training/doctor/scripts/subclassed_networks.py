# Networks as classes of their own, with lists of layers, a hinge loss and a plain loop.
import tensorflow as tf
from tensorflow.keras import layers, Model
class Generator(Model):
    def __init__(self):
        super().__init__()
        self.fc = layers.Dense(4*4*256, use_bias=False)
        self.bn0 = layers.BatchNormalization()
        self.blocks = [layers.Conv2DTranspose(f, 4, 2, padding='same', use_bias=False) for f in (128, 64, 32)]
        self.bns = [layers.BatchNormalization() for _ in range(3)]
        self.out = layers.Conv2DTranspose(3, 4, 2, padding='same', activation='tanh')
    def call(self, z, training=False):
        x = tf.nn.relu(self.bn0(self.fc(z), training=training))
        x = tf.reshape(x, (-1, 4, 4, 256))
        for conv, bn in zip(self.blocks, self.bns):
            x = tf.nn.relu(bn(conv(x), training=training))
        return self.out(x)
class Discriminator(Model):
    def __init__(self):
        super().__init__()
        self.c1 = layers.Conv2D(64, 4, 2, padding='same')
        self.c2 = layers.Conv2D(128, 4, 2, padding='same')
        self.d = layers.Dense(1)
    def call(self, x, training=False):
        x = tf.nn.leaky_relu(self.c1(x)); x = tf.nn.leaky_relu(self.c2(x))
        return self.d(layers.Flatten()(x))
G, D = Generator(), Discriminator()
g_opt = tf.keras.optimizers.Adam(1e-4); d_opt = tf.keras.optimizers.Adam(4e-4)
ds = tf.keras.utils.image_dataset_from_directory('cards', labels=None, image_size=(64,64)).map(lambda x: (x - 127.5) / 127.5)
def d_hinge(r, f): return tf.reduce_mean(tf.nn.relu(1. - r)) + tf.reduce_mean(tf.nn.relu(1. + f))
fixed = tf.random.normal((16, 100))
@tf.function
def step(x):
    z = tf.random.normal((tf.shape(x)[0], 100))
    with tf.GradientTape() as t1, tf.GradientTape() as t2:
        fake = G(z, training=True)
        r, f = D(x, training=True), D(fake, training=True)
        dl = d_hinge(r, f); gl = -tf.reduce_mean(f)
    d_opt.apply_gradients(zip(t1.gradient(dl, D.trainable_variables), D.trainable_variables))
    g_opt.apply_gradients(zip(t2.gradient(gl, G.trainable_variables), G.trainable_variables))
    return dl, gl
for e in range(100):
    for x in ds: dl, gl = step(x)
    tf.keras.utils.save_img(f'{e}.png', G(fixed, training=False)[0])
    G.save_weights(f'g{e}.weights.h5')
