/* networks.h: the well-known convolutional networks, with the parts' and parameters' names of PyTorch's versions of them
   (torchvision's, where it has the network), so that their weights load as they are. */
#ifndef CAMBIUM_NETWORKS_H
#define CAMBIUM_NETWORKS_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

typedef struct cbm_network_options {
    uint64_t struct_size;
    int64_t classes CBM_DEFAULT(0);  /* 0: the network's own: ImageNet's 1000, CIFAR's or MNIST's 10 */
    int64_t channels CBM_DEFAULT(0); /* of the images; 0: the network's own, 1 of lenet5, else 3 */
    double dropout CBM_DEFAULT(-1);  /* negative: the network's own */
    /* resnet18 and its kin: a first convolution of 3x3 in steps of one and no pooling behind it, for images of 32x32 */
    uint64_t small_images CBM_DEFAULT(0);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_network_options;
CBM_API void cbm_network_options_init(cbm_network_options *options);

/* A network, its weights drawn as its PyTorch version draws them (of the networks for 32x32 the last layer's as cbm_nn_linear's):
   images (N, C, H, W) -> scores (N, classes); unet:
   (N, C, H, W) -> (N, classes, H, W), H and W multiples of 16.
     lenet5                                             LeCun, Bottou, Bengio and Haffner 1998, with tanh; 28x28
     alexnet                                            Krizhevsky 2014; 224x224, 63x63 at least
     vgg11 vgg16 vgg19, and with batch norm vgg11_bn .. Simonyan and Zisserman 2015
     resnet18 resnet34 resnet50 resnet101 resnet152     He et al. 2016; a bottleneck's stride is in its 3x3 convolution
     wide_resnet50_2 wide_resnet101_2                   Zagoruyko and Komodakis 2016
     resnext50_32x4d resnext101_32x8d                   Xie et al. 2017
     resnet20 resnet32 resnet44 resnet56 resnet110 resnet1202   He et al. 2016, section 4.2; 32x32
     densenet121                                        Huang et al. 2017
     squeezenet1_0 squeezenet1_1                        Iandola et al. 2016
     mobilenet_v2                                       Sandler et al. 2018
     efficientnet_b0                                    Tan and Le 2019
     unet                                               Ronneberger et al. 2015, padded; two classes
   An unknown name is an error that lists those known. */
CBM_API cbm_module *cbm_network_with(cbm_context *cx, const char *name, const cbm_network_options *options);

/* Network number index: its name, where it comes from, and the input it is made for, (C, H, W). false past the end. */
typedef struct cbm_network_info {
    uint64_t struct_size;
    const char *name, *source;
    cbm_shape input;
    int64_t classes;
} cbm_network_info;
CBM_API bool cbm_network_at(size_t index, cbm_network_info *info);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NETWORK_DEFAULTS .dropout = -1, .dtype = CBM_F32
#define CBM_NETWORK_(cx, name, ...)                                                                                    \
    CBM_OPTIONS_(cbm_network_options, cbm_network_with(cx, name, &cbm_o_), CBM_NETWORK_DEFAULTS, __VA_ARGS__)
/* cbm_network(cx, "resnet18", .classes = 10, .small_images = true) */
#define cbm_network(...) CBM_NETWORK_(__VA_ARGS__, .struct_size = sizeof(cbm_network_options))
#else
CBM_CPP_MODULE_(cbm_network, cbm_network_options,
                (cbm_context * cx, const char *name, const cbm_network_options &options = {}), (cx, name, &o))
#endif

#endif
