/* look_scores.c: where scores come from, and what raises the score of each class. Rests on look.h of the library. */
#include "look.h"

#define SHOWN 8 /* samples whose scores are traced */
#define MODEL_STEPS 200
#define MODEL_RATE 1.0
#define MODEL_NOISE 0.3
#define MODEL_DECAY 0.05

/* The views of a sample; of a network without feature maps the last is missing. */
enum { VIEWS = 6 };
static const char *const view_names[VIEWS] = { "picture", "saliency", "guided", "deconvnet", "occlusion", "Grad-CAM" };

/* A row a sample. */
void cbm_look_draw_scores(const cbm_looker *l, const char *layer)
{
    cbm_shape shape = cbm_tensor_shape(l->batch.input);
    int64_t channels = shape.v[2], height = shape.v[3], width = shape.v[4], size = channels * height * width;
    const int64_t shown = l->batch.size < SHOWN ? l->batch.size : SHOWN, views = layer[0] ? VIEWS : VIEWS - 1;
    const int64_t *is = cbm_tensor_data(cbm_cast(l->batch.target, CBM_I64));
    cbm_class_names names;
    const char *rows[SHOWN];
    cbm_tiles t;
    if (!is || (channels != 1 && channels != 3) ||
        !cbm_tiles_new(l, shown, views, height, width, cbm_tiles_zoom(height), &t))
        return;
    cbm_looker_classes(l, &names);
    for (int64_t i = 0; i < shown; i++)
        rows[i] = is[i] >= 0 && is[i] < l->recipe->classes ? names.at[is[i]] : "";
    int64_t hole = height / 5 > 0 ? height / 5 : 1;
    for (int64_t i = 0; i < shown && cbm_looker_well(l); i++) {
        CBM_SCOPE(scope, l->cx);
        cbm_tensor *x = cbm_slice(l->batch.input, 0, i, i + 1, 1);
        cbm_tensor *view[VIEWS] = { x,
                                    cbm_saliency(l->net, x, CBM_TOP),
                                    cbm_attribution(l->net, x, CBM_TOP, CBM_WAY_GUIDED),
                                    cbm_attribution(l->net, x, CBM_TOP, CBM_WAY_DECONVNET),
                                    cbm_occlusion(l->net, x, CBM_TOP, hole, hole > 1 ? hole / 2 : 1, 0),
                                    layer[0] ? cbm_grad_cam(l->net, x, CBM_TOP, layer) : NULL };
        for (int64_t v = 0; v < views; v++) {
            const float *values = cbm_tensor_data(view[v]);
            if (!values)
                break;
            cbm_shape of = cbm_tensor_shape(view[v]);
            int64_t h = of.v[of.v[0] - 1], w = of.v[of.v[0]];
            if (cbm_tensor_count(view[v]) == size)
                cbm_tiles_put_own(&t, i, v, values, channels);
            else
                cbm_tiles_put_scaled(&t, i, v, values, h, w);
        }
    }
    const cbm_frame frame = { .title = "Where the highest score comes from",
                              .rows = rows,
                              .row_count = (size_t)shown,
                              .columns = view_names,
                              .column_count = (size_t)views };
    fprintf(l->out, "scores: a row a sample: itself, saliency, guided, deconvolutional, occlusion%s%s%s\n",
            layer[0] ? ", Grad-CAM of '" : "; no feature maps: no Grad-CAM", layer, layer[0] ? "'" : "");
    cbm_looker_keep(l, &t.image, &frame, "scores.png");
}

void cbm_look_draw_class_models(const cbm_looker *l)
{
    cbm_shape shape = l->recipe->input;
    int64_t channels = shape.v[1], columns = l->recipe->classes < 10 ? l->recipe->classes : 10;
    cbm_tiles t;
    if (shape.v[0] != 3 || (channels != 1 && channels != 3) ||
        !cbm_tiles_new(l, (l->recipe->classes + columns - 1) / columns, columns, shape.v[2], shape.v[3],
                       cbm_tiles_zoom(shape.v[2]), &t))
        return;
    for (int64_t c = 0; c < l->recipe->classes && cbm_looker_well(l); c++) {
        CBM_SCOPE(scope, l->cx);
        cbm_tensor *noise = cbm_normal(l->cx, CBM_F32, CBM_SHAPE(1, channels, shape.v[2], shape.v[3]), 0, MODEL_NOISE);
        const float *x = cbm_tensor_data(cbm_class_model(l->net, noise, c, MODEL_STEPS, MODEL_RATE, MODEL_DECAY));
        if (x)
            cbm_tiles_put_own(&t, c / columns, c % columns, x, channels);
    }
    cbm_class_names names;
    cbm_looker_classes(l, &names);
    const cbm_frame frame = { .title = "What raises the score of each class most",
                              .columns = names.at,
                              .column_count = l->recipe->classes == columns ? (size_t)columns : 0 };
    fprintf(l->out, "what raises the score of each class most, by %d steps of gradient ascent\n", MODEL_STEPS);
    cbm_looker_keep(l, &t.image, &frame, "classes.png");
}
