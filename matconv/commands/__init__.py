"""The commands of the command line, one module each, and what they share.

train evaluate predict info check

options     types of options, and the groups of them that several commands have
datasets    images and labels from what --data names
labels      labels of files as indices of outputs, and back
outputs     which file to write, refusing to overwrite
tables      text in columns
"""
