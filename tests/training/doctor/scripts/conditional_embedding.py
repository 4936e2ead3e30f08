# Functional conditional GAN: label embeddings multiplied into the noise and into the picture.
import numpy as np
import matplotlib.pyplot as plt
from tensorflow import keras
from tensorflow.keras import layers

num_classes, latent_dim, batch_size = 6, 128, 64
images = np.load("cards.npz")["images"]
labels = np.load("cards.npz")["labels"]
images = images.astype("float32") / 127.5 - 1.0


def build_generator():
    z = keras.Input((latent_dim,))
    y = keras.Input((1,), dtype="int32")
    e = layers.Flatten()(layers.Embedding(num_classes, latent_dim)(y))
    h = layers.multiply([z, e])
    h = layers.Dense(8 * 8 * 256)(h)
    h = layers.Reshape((8, 8, 256))(h)
    for f in (128, 64):
        h = layers.Conv2DTranspose(f, 5, strides=2, padding="same")(h)
        h = layers.BatchNormalization(momentum=0.8)(h)
        h = layers.LeakyReLU(0.2)(h)
    img = layers.Conv2DTranspose(3, 5, strides=2, padding="same", activation="tanh")(h)
    return keras.Model([z, y], img, name="G")


def build_discriminator():
    x = keras.Input((64, 64, 3))
    y = keras.Input((1,), dtype="int32")
    e = layers.Dense(64 * 64)(layers.Flatten()(layers.Embedding(num_classes, 50)(y)))
    e = layers.Reshape((64, 64, 1))(e)
    h = layers.concatenate([x, e])
    for f in (64, 128, 256):
        h = layers.Conv2D(f, 4, strides=2, padding="same")(h)
        h = layers.LeakyReLU(0.2)(h)
        h = layers.Dropout(0.4)(h)
    out = layers.Dense(1, activation="sigmoid")(layers.Flatten()(h))
    return keras.Model([x, y], out, name="D")


discriminator = build_discriminator()
discriminator.compile(
    loss="binary_crossentropy", optimizer=keras.optimizers.Adam(2e-4, 0.5), metrics=["accuracy"]
)
generator = build_generator()
discriminator.trainable = False
z, y = keras.Input((latent_dim,)), keras.Input((1,), dtype="int32")
combined = keras.Model([z, y], discriminator([generator([z, y]), y]))
combined.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(2e-4, 0.5))

real_label = np.full((batch_size, 1), 0.9)
fake_label = np.zeros((batch_size, 1))
for step in range(30000):
    idx = np.random.randint(0, len(images), batch_size)
    noise = np.random.normal(0, 1, (batch_size, latent_dim))
    gen_imgs = generator.predict([noise, labels[idx]], verbose=0)
    d_real = discriminator.train_on_batch([images[idx], labels[idx]], real_label)
    d_fake = discriminator.train_on_batch([gen_imgs, labels[idx]], fake_label)
    sampled = np.random.randint(0, num_classes, (batch_size, 1))
    g_loss = combined.train_on_batch([noise, sampled], np.ones((batch_size, 1)))
    if step % 500 == 0:
        print(step, d_real, d_fake, g_loss)
        noise = np.random.normal(0, 1, (num_classes, latent_dim))
        shown = generator.predict([noise, np.arange(num_classes)], verbose=0) * 0.5 + 0.5
        fig, axs = plt.subplots(1, num_classes)
        for ax, img in zip(axs, shown):
            ax.imshow(img)
        plt.savefig("step_%d.png" % step)
        plt.close()
