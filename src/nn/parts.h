/* parts.h: the private half of a module: its named parts, who holds it, and who watches its calls. */
#ifndef CAMBIUM_NN_PARTS_H
#define CAMBIUM_NN_PARTS_H

#ifndef CBM_NO_CALL_SITES
#define CBM_NO_CALL_SITES
#endif
#include "op/record.h"
#include <cambium/nn.h>
#include <cambium/ops.h>

#define CBM_PART_NAME 64

typedef struct cbm_part {
    char name[CBM_PART_NAME];
    cbm_tensor *tensor; /* of a parameter or buffer */
    cbm_module *child;  /* of a child */
} cbm_part;

/* One run of cbm_call_watched. */
typedef struct cbm_watch {
    cbm_module *network;
    cbm_watch_fn see;
    void *user;
    uint64_t first_sequence; /* nodes recorded after this one belong to the module being seen */
} cbm_watch;

struct cbm_module_parts {
    size_t size;                             /* of the whole module, in bytes */
    cbm_array parameters, buffers, children; /* of cbm_part */
    int64_t holders;                         /* modules that have this one as a child */
    cbm_watch *watch;
    cbm_precision precision;                         /* of calls */
    struct cbm_reparametrisation *reparametrisation; /* reparametrise.c; NULL: parameters are used as they are */
    struct cbm_names *names[2];                      /* named.c: parameters, the state, as last listed; NULL: not yet */
    uint64_t checkpoint; /* not 0: recomputed in backward (checkpoint.c); a number that no other module has */
};

#define CBM_PART(array_, i) (((cbm_part *)(array_).data)[i])

/* module.c: the module of cx that lies at this address; NULL: none, any longer. */
cbm_module *cbm_module_at(cbm_context *cx, uint64_t address);
/* checkpoint.c: m's forward on x, of which only x is kept for backward. */
cbm_tensor *cbm_checkpoint_forward(cbm_module *m, cbm_tensor *x);

/* named.c: modules of cx have got other parts than they had; and when a module goes. */
void cbm_names_changed(cbm_context *cx);
void cbm_names_free(cbm_module *m);

/* reparametrise.c: when the module goes. */
void cbm_reparametrisation_free(cbm_module *m);

/* The dotted name of the first place below network where target is found; false: nowhere. */
bool cbm_module_path(const cbm_module *network, const cbm_module *target, char *out, size_t size);

/* conv.c and norm.c, for folding: a convolution; a batch norm with running statistics that was not retired; its eps; and
   making it the identity in evaluation and an error in training, without parts. */
bool cbm_is_conv(const cbm_module *m);
bool cbm_is_batch_norm(const cbm_module *m);
double cbm_batch_norm_eps(const cbm_module *m);
void cbm_batch_norm_retire(cbm_module *m);

/* norm.c: where a batch norm has its momentum; NULL: m is none that can train. And records that its running statistics are
   those of a new one. */
double *cbm_batch_norm_momentum(cbm_module *m);
void cbm_batch_norm_reset(cbm_module *m);

/* The training flags of m and all below it, and putting them back (which frees them). NULL: no memory. */
bool *cbm_modes_take(cbm_module *m, size_t *count);
void cbm_modes_put_back(cbm_module *m, bool *modes, size_t count);

#endif
