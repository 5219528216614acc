"""Networks that others trained and published on CIFAR-10 and MNIST: their error, and D, G, R at every depth."""
