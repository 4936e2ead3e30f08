# A class-conditional GAN in the style of many tutorials: functional networks with an Embedding, `trainable` switched
# around every step, smoothed labels, one optimizer for both.
from numpy import ones, zeros
from numpy.random import randint, randn
from tensorflow.keras.datasets.fashion_mnist import load_data
from tensorflow.keras.layers import (
    Concatenate, Conv2D, Conv2DTranspose, Dense, Dropout, Embedding, Flatten, Input, LeakyReLU, Reshape
)
from tensorflow.keras.models import Model
from tensorflow.keras.optimizers import Adam

opt = Adam(learning_rate=0.0002, beta_1=0.5)


def define_discriminator(in_shape=(28, 28, 1), n_classes=10):
    in_label = Input(shape=(1,))
    li = Embedding(n_classes, 50)(in_label)
    li = Dense(in_shape[0] * in_shape[1])(li)
    li = Reshape((in_shape[0], in_shape[1], 1))(li)
    in_image = Input(shape=in_shape)
    merge = Concatenate()([in_image, li])
    fe = Conv2D(128, (3, 3), strides=(2, 2), padding='same')(merge)
    fe = LeakyReLU(0.2)(fe)
    fe = Conv2D(128, (3, 3), strides=(2, 2), padding='same')(fe)
    fe = LeakyReLU(0.2)(fe)
    fe = Flatten()(fe)
    fe = Dropout(0.4)(fe)
    out_layer = Dense(1, activation='sigmoid')(fe)
    model = Model([in_image, in_label], out_layer)
    model.compile(loss='binary_crossentropy', optimizer=opt, metrics=['accuracy'])
    return model


def define_generator(latent_dim, n_classes=10):
    in_label = Input(shape=(1,))
    li = Embedding(n_classes, 50)(in_label)
    li = Dense(7 * 7)(li)
    li = Reshape((7, 7, 1))(li)
    in_lat = Input(shape=(latent_dim,))
    gen = Dense(128 * 7 * 7)(in_lat)
    gen = LeakyReLU(0.2)(gen)
    gen = Reshape((7, 7, 128))(gen)
    merge = Concatenate()([gen, li])
    gen = Conv2DTranspose(128, (4, 4), strides=(2, 2), padding='same')(merge)
    gen = LeakyReLU(0.2)(gen)
    gen = Conv2DTranspose(128, (4, 4), strides=(2, 2), padding='same')(gen)
    gen = LeakyReLU(0.2)(gen)
    out_layer = Conv2D(1, (7, 7), activation='tanh', padding='same')(gen)
    return Model([in_lat, in_label], out_layer)


def define_gan(g_model, d_model):
    gen_noise, gen_label = g_model.input
    gan_output = d_model([g_model.output, gen_label])
    model = Model([gen_noise, gen_label], gan_output)
    model.compile(loss='binary_crossentropy', optimizer=opt)
    return model


def load_real_samples():
    (trainX, trainy), (_, _) = load_data()
    X = trainX.reshape(-1, 28, 28, 1).astype('float32')
    X = (X - 127.5) / 127.5
    return [X, trainy]


def generate_real_samples(dataset, n_samples):
    images, labels = dataset
    ix = randint(0, images.shape[0], n_samples)
    return [images[ix], labels[ix]], ones((n_samples, 1)) * 0.9


def generate_latent_points(latent_dim, n_samples, n_classes=10):
    z_input = randn(latent_dim * n_samples).reshape(n_samples, latent_dim)
    return [z_input, randint(0, n_classes, n_samples)]


def generate_fake_samples(generator, latent_dim, n_samples):
    z_input, labels_input = generate_latent_points(latent_dim, n_samples)
    images = generator.predict([z_input, labels_input])
    return [images, labels_input], zeros((n_samples, 1))


def train(g_model, d_model, gan_model, dataset, latent_dim, n_epochs=100, n_batch=128):
    bat_per_epo = int(dataset[0].shape[0] / n_batch)
    half_batch = int(n_batch / 2)
    for i in range(n_epochs):
        for j in range(bat_per_epo):
            d_model.trainable = True
            [X_real, labels_real], y_real = generate_real_samples(dataset, half_batch)
            d_loss1, _ = d_model.train_on_batch([X_real, labels_real], y_real)
            [X_fake, labels], y_fake = generate_fake_samples(g_model, latent_dim, half_batch)
            d_loss2, _ = d_model.train_on_batch([X_fake, labels], y_fake)
            d_model.trainable = False
            [z_input, labels_input] = generate_latent_points(latent_dim, n_batch)
            g_loss = gan_model.train_on_batch([z_input, labels_input], ones((n_batch, 1)))
            print('>%d, %d/%d, d1=%.3f, d2=%.3f g=%.3f' % (i + 1, j + 1, bat_per_epo, d_loss1, d_loss2, g_loss))
    g_model.save('cgan_generator.h5')


latent_dim = 100
d_model = define_discriminator()
g_model = define_generator(latent_dim)
gan_model = define_gan(g_model, d_model)
dataset = load_real_samples()
train(g_model, d_model, gan_model, dataset, latent_dim)
