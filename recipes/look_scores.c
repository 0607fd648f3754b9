/* look_scores.c: where scores come from, and what raises the score of each class. Rests on look.h of the library. */
#include "look.h"

#define SHOWN 8 /* samples whose scores are traced */
#define MODEL_STEPS 200
#define MODEL_RATE 1.0
#define MODEL_NOISE 0.3
#define MODEL_DECAY 0.05

/* A row a sample: itself, saliency, guided, deconvolutional, Grad-CAM, occlusion. */
void cbm_look_draw_scores(const cbm_looker *l, const char *layer)
{
    cbm_shape shape = cbm_tensor_shape(l->batch.input);
    int64_t channels = shape.v[2], height = shape.v[3], width = shape.v[4], size = channels * height * width;
    cbm_tiles t;
    if (!layer[0] || (channels != 1 && channels != 3) ||
        !cbm_tiles_new(l, SHOWN, 6, height, width, cbm_tiles_zoom(height), &t))
        return;
    int64_t hole = height / 5 > 0 ? height / 5 : 1;
    for (int64_t i = 0; i < SHOWN && i < l->batch.size && cbm_looker_well(l); i++) {
        CBM_SCOPE(scope, l->cx);
        cbm_tensor *x = cbm_slice(l->batch.input, 0, i, i + 1, 1);
        cbm_tensor *views[] = { x,
                                cbm_saliency(l->net, x, CBM_TOP),
                                cbm_attribution(l->net, x, CBM_TOP, CBM_WAY_GUIDED),
                                cbm_attribution(l->net, x, CBM_TOP, CBM_WAY_DECONVNET),
                                cbm_grad_cam(l->net, x, CBM_TOP, layer),
                                cbm_occlusion(l->net, x, CBM_TOP, hole, hole > 1 ? hole / 2 : 1, 0) };
        for (int64_t v = 0; v < 6; v++) {
            const float *values = cbm_tensor_data(views[v]);
            if (!values)
                break;
            cbm_shape of = cbm_tensor_shape(views[v]);
            int64_t h = of.v[of.v[0] - 1], w = of.v[of.v[0]];
            if (cbm_tensor_count(views[v]) == size)
                cbm_tiles_put_own(&t, i, v, values, channels);
            else
                cbm_tiles_put_scaled(&t, i, v, values, h, w);
        }
    }
    fprintf(l->out, "scores: a row a sample: itself, saliency, guided, deconvolutional, Grad-CAM of '%s', occlusion\n",
            layer);
    cbm_looker_keep(l, &t.image, "scores.png");
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
    fprintf(l->out, "what raises the score of each class most, by %d steps of gradient ascent\n", MODEL_STEPS);
    cbm_looker_keep(l, &t.image, "classes.png");
}
