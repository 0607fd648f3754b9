/* transforms.h: what can happen to pictures on their way into a batch (see cbm_dataset_transform in data.h). Each works in
   the loader's threads and draws its numbers from (seed, epoch, sample, place) alone, so that runs repeat bit for bit.

   Pictures are (..., height, width), u8 or f32, unless said otherwise; the leading axes are planes, moved and cut alike.
   u8 results are rounded to the nearest and kept in 0 to 255. White is 255 of u8 and 1 of f32. A parameter that makes no
   sense is refused by cbm_dataset_transform. */
#ifndef CAMBIUM_TRANSFORMS_H
#define CAMBIUM_TRANSFORMS_H

#include <cambium/data.h>

CBM_BEGIN_DECLS

/* ---- size ---- */

/* To height x width, 1 to 65536, by a triangle filter that widens as the picture shrinks: PyTorch's interpolate with
   mode="bilinear", antialias=True. */
CBM_API cbm_transform cbm_resize(int64_t height, int64_t width);
/* The middle height x width; where the picture is smaller, zeros around it. */
CBM_API cbm_transform cbm_center_crop(int64_t height, int64_t width);
/* A random part of the picture, low to high of its area (0 < low <= high <= 1; 0.08 and 1 are usual) with sides in a ratio
   from 3/4 to 4/3, resized to height x width. Szegedy et al., Going deeper with convolutions (2015). */
CBM_API cbm_transform cbm_random_resized_crop(int64_t height, int64_t width, double low, double high);

/* ---- place ---- */

/* A window of the image's own size out of the image with padding zeros on each side, at a place drawn uniformly.
   (..., H, W), any dtype. */
CBM_API cbm_transform cbm_random_crop(int64_t padding);
/* Mirrored along the last axis, left for right, with probability 1/2. Any dtype. */
CBM_API cbm_transform cbm_random_flip(void);
/* Turned by up to so many degrees either way about its middle; what comes from outside is 0. Bilinear. */
CBM_API cbm_transform cbm_random_rotation(double degrees);
/* Sheared along x by up to shear degrees (0 to below 90), scaled by low to high, turned by up to degrees (0 to 360), and
   moved by whole pixels, up to translate (0 to 1) times the sides, about its middle. Bilinear; outside is 0. */
CBM_API cbm_transform cbm_random_affine(double degrees, double translate, double low, double high, double shear);
/* With that probability each corner moves inwards by up to distortion (0 to below 1) times half the sides. Bilinear;
   outside is 0. */
CBM_API cbm_transform cbm_random_perspective(double distortion, double probability);

/* ---- colour and noise ---- */

/* Brightness, contrast and saturation are each blended by a factor from max(0, 1 - x) to 1 + x: with black, with the mean
   grey, with the pixel's own grey (0.299 R + 0.587 G + 0.114 B). The hue turns by up to hue (0 to 0.5) of the circle. In
   this order. (3, H, W), or (1, H, W) with saturation and hue 0. Values stay between black and white. */
CBM_API cbm_transform cbm_color_jitter(double brightness, double contrast, double saturation, double hue);
/* Normal noise of that deviation, in parts of white. Values stay between black and white for u8; f32 is not limited. */
CBM_API cbm_transform cbm_gaussian_noise(double deviation);
/* Blurred by a Gaussian whose deviation, in pixels, is drawn from low to high (0 < low <= high <= 64), cut at three
   deviations; edges are reflected. */
CBM_API cbm_transform cbm_gaussian_blur(double low, double high);
/* (x / 255 - mean) / deviation of u8, giving f32; (x - mean) / deviation of f32. channels: 1 for all elements alike, or the
   first axis' extent, 8 at most, with a mean and a deviation for each. */
CBM_API cbm_transform cbm_normalize(int64_t channels, const double *mean, const double *deviation);

/* ---- holes ---- */

/* With that probability a rectangle becomes 0: low to high of the area (0 < low <= high <= 1; 0.02 and 0.33 are usual),
   sides in a ratio from 0.3 to 3.3. Zhong et al., Random erasing data augmentation (2017). */
CBM_API cbm_transform cbm_random_erasing(double probability, double low, double high);
/* A square of that side becomes 0, its middle anywhere in the picture, so that it may stick out. DeVries and Taylor,
   Improved regularization of convolutional neural networks with cutout (2017). */
CBM_API cbm_transform cbm_cutout(int64_t side);

/* ---- RandAugment ---- */

/* One of fourteen changes at the same chance, as strong as magnitude (0 to 1) of its range says, either way: none; shear by
   0.3 along x or y; moved by 0.45 of the width or height; turned by 30 degrees; brightness, contrast, saturation or
   sharpness by a factor of 1 +- 0.9; 8 to 4 bits kept; inverted from a level on, at magnitude 0 white alone, as
   torchvision does; levels stretched; levels equalised. Put it into the list n
   times for n changes. u8, (3, H, W) or (1, H, W). Cubuk et al., RandAugment (2019). */
CBM_API cbm_transform cbm_rand_augment(double magnitude);

/* ---- batches: each sample mixed with the one before it, the first with the last ---- */

/* input: mixed, of the batch's shape. target: (N, classes), what cbm_cross_entropy takes as probabilities. share: of a
   sample itself; the other's is 1 - share. On error input and target are the batch's own. */
typedef struct cbm_mixed {
    cbm_tensor *input, *target;
    double share;
} cbm_mixed;
/* share x + (1 - share) x', with share from Beta(alpha, alpha), one a batch; it follows from seed, epoch and the batch's
   index. Inputs are floats, targets class numbers (N). 0 < alpha <= 1000; 0.2 and 1 are usual. Zhang et al., mixup: beyond
   empirical risk minimization (2017). */
CBM_API cbm_mixed cbm_mixup(const cbm_batch *batch, int64_t classes, double alpha, uint64_t seed);
/* A rectangle of x' in x, of about 1 - Beta(alpha, alpha) of the area, its middle anywhere, cut at the edges; share is what
   is left of x. Inputs are (N, ..., height, width). Yun et al., CutMix (2019). */
CBM_API cbm_mixed cbm_cutmix(const cbm_batch *batch, int64_t classes, double alpha, uint64_t seed);

CBM_END_DECLS

#endif
