"""The commands of the command line, one module each, and what they share.

train evaluate predict info check

options     how an option becomes an argument; options that several commands have
datasets    images and labels from what --data names
mnist       the files of MNIST in a directory, however they are spelled
settings    what a model file records of its training; from the command line or from --resume
split       whether the training and test images are those of the training before
problem     what a training minimises: images, network, f, solver
training    a training: minimise f, save the model
saving      where a command writes its file, and when a training saves
interrupts  signals that end a training
streams     standard streams that may be closed, full or without a reader
messages    warnings as lines
labels      labels of files as indices of outputs, and back
outputs     which file to write: not over another one, elsewhere if it cannot be written
tables      text in columns
"""
