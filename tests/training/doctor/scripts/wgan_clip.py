# In the style of the Keras-GAN collection: WGAN by clipped weights, everything a method of one class.
from keras.models import Sequential, Model
from keras.layers import *
from keras.optimizers import RMSprop
import keras.backend as K, numpy as np
from keras.datasets import mnist
def wasserstein_loss(y_true, y_pred): return K.mean(y_true * y_pred)
class WGAN():
    def __init__(self):
        self.n_critic = 5
        self.clip_value = 0.01
        self.critic = self.build_critic()
        self.critic.compile(loss=wasserstein_loss, optimizer=RMSprop(lr=0.00005), metrics=['accuracy'])
        self.generator = self.build_generator()
        z = Input(shape=(100,))
        img = self.generator(z)
        self.critic.trainable = False
        valid = self.critic(img)
        self.combined = Model(z, valid)
        self.combined.compile(loss=wasserstein_loss, optimizer=RMSprop(lr=0.00005))
    def build_generator(self):
        model = Sequential()
        model.add(Dense(128 * 7 * 7, activation="relu", input_dim=100))
        model.add(Reshape((7, 7, 128)))
        model.add(UpSampling2D()); model.add(Conv2D(128, kernel_size=4, padding="same")); model.add(BatchNormalization(momentum=0.8)); model.add(Activation("relu"))
        model.add(Conv2D(1, kernel_size=4, padding="same")); model.add(Activation("tanh"))
        noise = Input(shape=(100,)); return Model(noise, model(noise))
    def build_critic(self):
        model = Sequential()
        model.add(Conv2D(16, kernel_size=3, strides=2, input_shape=(28,28,1), padding="same"))
        model.add(LeakyReLU(alpha=0.2)); model.add(Flatten()); model.add(Dense(1))
        img = Input(shape=(28,28,1)); return Model(img, model(img))
    def train(self, epochs, batch_size=128):
        (X_train, _), (_, _) = mnist.load_data()
        X_train = (X_train.astype(np.float32) - 127.5) / 127.5
        valid = -np.ones((batch_size, 1)); fake = np.ones((batch_size, 1))
        for epoch in range(epochs):
            for _ in range(self.n_critic):
                imgs = X_train[np.random.randint(0, 60000, batch_size)]
                noise = np.random.normal(0, 1, (batch_size, 100))
                gen_imgs = self.generator.predict(noise)
                d_loss_real = self.critic.train_on_batch(imgs, valid)
                d_loss_fake = self.critic.train_on_batch(gen_imgs, fake)
                for l in self.critic.layers:
                    weights = l.get_weights()
                    weights = [np.clip(w, -self.clip_value, self.clip_value) for w in weights]
                    l.set_weights(weights)
            g_loss = self.combined.train_on_batch(noise, valid)
        self.generator.save("g.h5")
WGAN().train(100)
