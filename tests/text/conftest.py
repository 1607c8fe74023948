"""The first example of a test may compile a kernel, so examples have no deadline."""

from hypothesis import settings

settings.register_profile("kernels", deadline=None)
settings.load_profile("kernels")
