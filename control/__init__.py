"""The control plane: Matrix, calls, conferences. protocol/ decides, io/ performs."""
