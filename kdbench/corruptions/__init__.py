"""Common corruptions of images (Hendrycks & Dietterich, ICLR 2019): their names; the work is done beside.

The pixels come either from a published set, CIFAR-10-C or CIFAR-100-C (:mod:`.prepared`), or are
computed here with the package ``imagecorruptions-imaug`` (:mod:`.compute`). The two are **not** the
same: the package keeps the strengths that ImageNet-C has for images of 224 pixels, CIFAR-10-C has
milder ones of its own for 32 pixels. What is computed is therefore called :data:`COMPUTED`, and the
two are never in one column.
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
