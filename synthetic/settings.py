"""Difficulty settings of the synthetic benchmarks; lengths are fractions of the image height unless noted.

Harder: more nights, occlusion, noise, cast, yaw and misalignment. Easier: the opposite, or more training identities.
"""

from __future__ import annotations

#: Drawing version, changed whenever the same seed draws other images.
VERSION = 1

#: Share of samples taken at night, when RGB is nearly black, and its remaining exposure.
NIGHT_SHARE = 0.1
NIGHT_GAIN = (0.03, 0.10)
#: RGB exposure by day.
DAY_GAIN = (0.75, 1.2)
#: Largest deviation of a camera's color channels from gray, and of single images from their camera.
CAMERA_CAST = 0.08
IMAGE_CAST = 0.05
#: Gain of the NIR lamp, gain and offset (ambient temperature) of the TIR sensor.
NIR_GAIN = (0.85, 1.15)
TIR_GAIN = (0.9, 1.1)
TIR_OFFSET = (-0.08, 0.08)
#: Strength of the illumination from one side.
SIDE_LIGHT = 0.2
#: Standard deviation of the sensor noise, of full scale: RGB, NIR, TIR.
NOISE = (0.025, 0.035, 0.02)
#: Largest Gaussian blur radius in pixels of an image 256 high; TIR optics add their own.
BLUR = 1.2
TIR_BLUR = 1.2
#: Shift of the NIR and TIR images against RGB.
MISALIGNMENT = 0.01
#: Size of the figure against the image, and how far its middle is off the centre.
PERSON_SCALE = (0.95, 1.0)
VEHICLE_SCALE = (0.9, 1.0)
SHIFT = 0.02
#: Share of samples with a pole or a bystander in front of the figure.
OCCLUSION_SHARE = 0.1
#: Largest deviation of an image's viewing direction from its camera's, degrees.
YAW_JITTER = 20.0
#: Degrees by which a camera looks down on a vehicle.
VEHICLE_TILT = (6.0, 22.0)
#: Deviation of an identity's colors from the named ones, and drift of its appearance between images.
COLOUR_JITTER = 0.07
APPEARANCE_DRIFT = 0.03
#: Saturation of the backdrops, 0 is gray.
BACKDROP_COLOUR = 1.0
#: Scenes per identity of MSVR310.
SCENES_PER_IDENTITY = 3
#: JPEG quality of the written files.
JPEG_QUALITY = 90

#: Crops of the attribute sets: limits of the width in pixels, and of width / height.
CROP_WIDTH = (64, 116)
CROP_ASPECT = (0.40, 0.50)
#: Size of a person in such a crop against its height.
ATTRIBUTE_SCALE = (0.86, 0.96)
#: Contrast of their backdrops against those of the other sets, 0 is plain.
ATTRIBUTE_BACKDROP = 0.6
#: Their exposure, and deviation of the view from straight, in degrees.
ATTRIBUTE_GAIN = (0.8, 1.15)
ATTRIBUTE_YAW = 18.0
#: JPEG quality of the attribute sets.
ATTRIBUTE_QUALITY = (70, 92)
