/* loader.h: what checkpoints ask a loader. */
#ifndef CAMBIUM_LOADER_INTERNAL_H
#define CAMBIUM_LOADER_INTERNAL_H

#include <cambium/data.h>

/* Whether cbm_loader_set_state will accept position; if not, why gets the reason. */
bool cbm_loader_fits(const cbm_loader *loader, const cbm_loader_position *position, char *why, size_t size);

#endif
