/* networks.c: the table of networks by name. */
#include "networks/parts.h"
#include <string.h>

static const cbm_network_form *const tables[] = { cbm_networks_lenet,  cbm_networks_plain,    cbm_networks_resnet,
                                                  cbm_networks_cifar,  cbm_networks_densenet, cbm_networks_squeezenet,
                                                  cbm_networks_mobile, cbm_networks_unet };

static const cbm_network_form *form_at(size_t index)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const cbm_network_form *f = tables[t]; f->name; f++)
            if (index-- == 0)
                return f;
    return NULL;
}

CBM_OPTIONS_INIT(cbm_network_options, CBM_NETWORK_DEFAULTS)

static cbm_module *fail_unknown(cbm_context *cx, const char *name)
{
    cbm_text known = cbm_text_open(cbm_context_heap(cx));
    const cbm_network_form *f;
    for (size_t i = 0; (f = form_at(i)) != NULL; i++)
        cbm_text_append(&known, "%s%s", i ? ", " : "", f->name);
    cbm_fail(cx, CBM_ERROR_INVALID, "[network] there is no \"%.40s\". Those known: %s", name ? name : "(NULL)",
             cbm_text_get(&known));
    cbm_text_free(&known);
    return cbm_module_failed(cx);
}

cbm_module *cbm_network_with(cbm_context *cx, const char *name, const cbm_network_options *o)
{
    const cbm_network_form *f = NULL;
    for (size_t i = 0; (f = form_at(i)) != NULL && (!name || strcmp(f->name, name) != 0);)
        i++;
    if (cbm_options_wrong(cx, "network", o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, "network", o->dtype))
        return cbm_module_failed(cx);
    if (!f)
        return fail_unknown(cx, name);
    cbm_network_options settled = *o;
    settled.classes = o->classes ? o->classes : f->classes;
    settled.channels = o->channels ? o->channels : f->channels;
    settled.dropout = o->dropout >= 0 ? o->dropout : f->dropout;
    if (settled.classes < 1 || settled.channels < 1 || !(settled.dropout < 1) ||
        (o->small_images && !strstr(f->name, "resne"))) {
        cbm_fail(
            cx, CBM_ERROR_INVALID,
            "[network] %s: classes and channels must be at least 1, dropout less than 1, and small_images goes with "
            "residual networks only",
            f->name);
        return cbm_module_failed(cx);
    }
    return f->make(cx, f, &settled);
}

bool cbm_network_at(size_t index, cbm_network_info *info)
{
    const cbm_network_form *f = form_at(index);
    if (!f || !info)
        return false;
    const cbm_network_info whole = { .struct_size = info->struct_size,
                                     .name = f->name,
                                     .source = f->source,
                                     .input = CBM_SHAPE(f->channels, f->height, f->height),
                                     .classes = f->classes };
    memcpy(info, &whole, info->struct_size < sizeof whole ? (size_t)info->struct_size : sizeof whole);
    return true;
}
