"""Common corruptions of images (Hendrycks & Dietterich, ICLR 2019): their names; the work is done beside.

The pixels come either from a published set, CIFAR-10-C or CIFAR-100-C (:mod:`.prepared`), or are
computed here with the package ``imagecorruptions-imaug`` (:mod:`.compute`). The two are **not** the
same. The package keeps the strengths that ImageNet-C has for images of 224 pixels, CIFAR-10-C has
milder ones of its own for 32. On 32 pixels the package's noise and blur are therefore harsh from the
first severity on, its elastic transform scatters single pixels instead of bending the image, and its
frost is a 32-pixel window of a large photograph, mostly a tint. What is computed is called
:data:`COMPUTED`, never CIFAR-10-C, and the two are never in one column.
"""

GROUPS: dict[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
"""The four groups of the paper's section 4.1."""

CORRUPTIONS: tuple[str, ...] = tuple(name for names in GROUPS.values() for name in names)
"""All 15, as published sets and the package name them."""

SEVERITIES: tuple[int, ...] = (1, 2, 3, 4, 5)
"""From hardly visible to hardly recognisable."""

COMPUTED = "computed-c"
"""What a set is called whose pixels were computed here."""

__all__ = ["COMPUTED", "CORRUPTIONS", "GROUPS", "SEVERITIES"]
