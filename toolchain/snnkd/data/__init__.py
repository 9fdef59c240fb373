"""What networks are trained on: data sets, encoders that make events of them, augmentation."""
