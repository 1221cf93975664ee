"""Files of Keras, read without Keras and TensorFlow."""
