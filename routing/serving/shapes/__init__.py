"""The wire shapes that programs speak, read and written: pure translation, one module a shape."""
