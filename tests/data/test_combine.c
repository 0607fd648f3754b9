/* test_combine.c: datasets made of others (parts, chosen samples, several in a row, random splits, folds), the orders that a
   loader can draw, and samples of different lengths. */
#include <cambium/cambium.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 23 };

static cbm_context *cx;

static int open_context(void **state)
{
    (void)state;
    cx = cbm_open_with(.threads = 1);
    return 0;
}

static int close_context(void **state)
{
    (void)state;
    cbm_close(cx);
    return 0;
}

/* The given whole numbers as inputs, and ten times as much as targets. */
static cbm_dataset *numbers(int64_t first, int64_t count)
{
    float x[N];
    int64_t y[N];
    for (int64_t i = 0; i < count; i++) {
        x[i] = (float)(first + i);
        y[i] = 10 * (first + i);
    }
    return cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(count), x),
                               cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(count), y));
}

static int number_at(cbm_dataset *d, int64_t index)
{
    cbm_tensor *x, *y;
    assert_int_equal(cbm_dataset_get(d, index, &x, &y), CBM_OK);
    const int number = (int)cbm_item(x);
    assert_int_equal((int)cbm_item(y), 10 * number);
    return number;
}

static void expect_error(cbm_status status, const char *message)
{
    assert_int_equal(cbm_context_status(cx), status);
    assert_string_equal(cbm_message(cx), message);
    cbm_clear(cx);
}

static void test_subset(void **state)
{
    (void)state;
    const int64_t indices[] = { 4, 4, 0, 22 };
    cbm_dataset *whole = numbers(0, N), *some = cbm_dataset_subset(whole, indices, 4);
    cbm_dataset_release(whole); /* kept alive */
    assert_int_equal(cbm_dataset_count(some), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(number_at(some, i), indices[i]);
    assert_int_equal(cbm_dataset_count(cbm_dataset_subset(some, NULL, 0)), 0);
    const int64_t outside[] = { 0, 4 };
    assert_null(cbm_dataset_subset(some, outside, 2));
    expect_error(CBM_ERROR_RANGE, "[dataset] sample 4 of 'tensors', which has 4");
    assert_null(cbm_dataset_subset(some, NULL, 2));
    expect_error(CBM_ERROR_INVALID, "[dataset] a subset of 'tensors' needs a list of indices");
}

static void test_concat(void **state)
{
    (void)state;
    cbm_dataset *parts[] = { numbers(0, 3), cbm_dataset_part(numbers(0, 3), 0, 0), numbers(3, 5), numbers(8, 1) };
    cbm_dataset *all = cbm_dataset_concat(parts, 4);
    assert_int_equal(cbm_dataset_count(all), 9);
    assert_int_equal(cbm_dataset_classes(all), 81);
    for (int i = 0; i < 9; i++)
        assert_int_equal(number_at(all, i), i);
    parts[1] = cbm_dataset_tensors(cx, cbm_zeros(cx, CBM_F32, CBM_SHAPE(3)), NULL);
    assert_null(cbm_dataset_concat(parts, 4));
    expect_error(CBM_ERROR_SHAPE, "[dataset] concat: dataset 1 has samples of another shape or dtype than the first");
    parts[1] = NULL;
    assert_null(cbm_dataset_concat(parts, 4));
    expect_error(CBM_ERROR_INVALID, "[dataset] concat: dataset 1 is NULL");
    assert_null(cbm_dataset_concat(parts, 0));
}

static void mark_all(cbm_dataset *d, int *seen)
{
    for (int64_t i = 0; i < cbm_dataset_count(d); i++)
        seen[number_at(d, i)]++;
}

static void test_split(void **state)
{
    (void)state;
    const int64_t sizes[] = { 10, 0, 12 };
    cbm_dataset *whole = numbers(0, N), *parts[3], *again[3], *other[3];
    int seen[N] = { 0 };
    assert_int_equal(cbm_dataset_split(whole, sizes, 3, 5, parts), CBM_OK);
    assert_int_equal(cbm_dataset_split(whole, sizes, 3, 5, again), CBM_OK);
    assert_int_equal(cbm_dataset_split(whole, sizes, 3, 6, other), CBM_OK);
    int same = 0, in_order = 0;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(number_at(parts[0], i), number_at(again[0], i));
        same += number_at(parts[0], i) == number_at(other[0], i);
        in_order += number_at(parts[0], i) == i;
    }
    assert_true(same < 10 && in_order < 10);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cbm_dataset_count(parts[i]), sizes[i]);
        mark_all(parts[i], seen);
    }
    int once = 0;
    for (int i = 0; i < N; i++) {
        assert_true(seen[i] <= 1);
        once += seen[i];
    }
    assert_int_equal(once, 22);
    const int64_t too_many[] = { 20, 4 };
    assert_int_equal(cbm_dataset_split(whole, too_many, 2, 5, parts), CBM_ERROR_RANGE);
    expect_error(CBM_ERROR_RANGE, "[dataset] split: part 1 has 4 samples, and 'tensors' has 3 left");
    assert_null(parts[0]);
}

static void test_fold(void **state)
{
    (void)state;
    cbm_dataset *whole = numbers(0, N), *train, *validation;
    int validated[N] = { 0 };
    for (int64_t fold = 0; fold < 5; fold++) {
        int seen[N] = { 0 };
        assert_int_equal(cbm_dataset_fold(whole, 5, fold, 1, &train, &validation), CBM_OK);
        assert_int_equal(cbm_dataset_count(validation), fold < 3 ? 5 : 4); /* 23 = 5 + 5 + 5 + 4 + 4 */
        mark_all(validation, validated);
        mark_all(validation, seen);
        mark_all(train, seen);
        for (int i = 0; i < N; i++)
            assert_int_equal(seen[i], 1);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(validated[i], 1);
    assert_int_equal(cbm_dataset_fold(whole, 5, 5, 1, &train, &validation), CBM_ERROR_RANGE);
    assert_null(train);
    expect_error(CBM_ERROR_RANGE, "[dataset] fold 5 of 5 of 'tensors', which has 23 samples");
}

/* ---- orders ---- */

/* One epoch's samples in order; returns how many. */
static int64_t epoch_of(cbm_loader *l, int64_t *out)
{
    int64_t count = 0;
    for (cbm_batch b; cbm_next(l, &b);)
        for (int64_t i = 0; i < b.size; i++)
            out[count++] = b.samples[i];
    return count;
}

static void test_weights(void **state)
{
    (void)state;
    enum { DRAWS = 20000 };
    static int64_t drawn[DRAWS], again[DRAWS];
    const double weights[] = { 1, 0, 3, 4, 0, 2 };
    int64_t counts[6] = { 0 };
    cbm_dataset *d = numbers(0, 6);
    cbm_loader *l = cbm_loader_open(d, .batch_size = 100, .weights = weights, .draws = DRAWS, .seed = 9);
    assert_int_equal(cbm_loader_samples(l), DRAWS);
    assert_int_equal(epoch_of(l, drawn), DRAWS);
    for (int i = 0; i < DRAWS; i++)
        counts[drawn[i]]++;
    for (int i = 0; i < 6; i++) { /* five standard deviations */
        const double share = weights[i] / 10, expected = DRAWS * share;
        const double apart = (double)counts[i] - expected;
        assert_true(apart * apart <= 25 * expected * (1 - share));
    }
    assert_int_equal(epoch_of(l, again), DRAWS); /* the next epoch differs, the first repeats */
    assert_memory_not_equal(drawn, again, sizeof drawn);
    cbm_loader_rewind(l, 0);
    assert_int_equal(epoch_of(l, again), DRAWS);
    assert_memory_equal(drawn, again, sizeof drawn);
}

static void test_weights_without_replacement(void **state)
{
    (void)state;
    const double weights[] = { 1, 0, 3, 4, 0, 2 };
    int64_t first[6] = { 0 }, drawn[6];
    cbm_dataset *d = numbers(0, 6);
    cbm_loader *l = cbm_loader_open(d, .batch_size = 2, .weights = weights, .no_replacement = true, .draws = 4);
    enum { EPOCHS = 4000 };
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        int seen[6] = { 0 };
        assert_int_equal(epoch_of(l, drawn), 4);
        for (int i = 0; i < 4; i++)
            assert_int_equal(seen[drawn[i]]++, 0);
        first[drawn[0]]++;
    }
    for (int i = 0; i < 6; i++) { /* the first of an epoch is drawn in proportion */
        const double share = weights[i] / 10, apart = (double)first[i] - EPOCHS * share;
        assert_true(apart * apart <= 25 * EPOCHS * share * (1 - share));
    }
    assert_null(cbm_loader_open(d, .weights = weights, .no_replacement = true, .draws = 5));
    expect_error(CBM_ERROR_INVALID,
                 "[loader] without replacement no more samples can be drawn than have a weight above "
                 "0. HINT: draws");
    const double none[6] = { 0 }, negative[6] = { 1, -1 };
    assert_null(cbm_loader_open(d, .weights = none));
    expect_error(CBM_ERROR_INVALID, "[loader] the weights are all zero, or too large together");
    assert_null(cbm_loader_open(d, .weights = negative));
    expect_error(CBM_ERROR_INVALID, "[loader] a weight is negative or not finite");
    assert_null(cbm_loader_open(d, .weights = weights, .shuffle = true));
    expect_error(CBM_ERROR_INVALID, "[loader] shuffle has no meaning beside an order or weights");
    assert_null(cbm_loader_open(d, .draws = 3));
    expect_error(CBM_ERROR_INVALID, "[loader] draws is the number of samples drawn by weights or an order");
}

static void test_ranks(void **state)
{
    (void)state;
    cbm_dataset *d = numbers(0, N);
    int64_t alone[N], share[N];
    assert_int_equal(epoch_of(cbm_loader_open(d, .batch_size = 4, .shuffle = true, .seed = 3), alone), N);
    for (uint64_t drop = 0; drop <= 1; drop++)
        for (int64_t rank = 0; rank < 5; rank++) { /* 23 = 5 * 4 + 3 */
            cbm_loader *l = cbm_loader_open(d, .batch_size = 1, .shuffle = true, .seed = 3, .rank = rank, .ranks = 5,
                                            .drop_last = drop);
            assert_int_equal(cbm_loader_samples(l), drop ? 4 : 5);
            assert_int_equal(epoch_of(l, share), drop ? 4 : 5);
            for (int64_t i = 0; i < (drop ? 4 : 5); i++)
                assert_int_equal(share[i], alone[(rank + 5 * i) % N]);
        }
    assert_null(cbm_loader_open(d, .rank = 2, .ranks = 2));
    expect_error(CBM_ERROR_INVALID, "[loader] rank must be 0 to ranks - 1");
    assert_null(cbm_loader_open(d, .rank = 2, .ranks = 30, .drop_last = true));
    expect_error(CBM_ERROR_INVALID, "[loader] drop_last leaves nothing for each of so many ranks");
}

static cbm_status backwards(void *user, uint64_t seed, int64_t epoch, int64_t samples, int64_t *order, int64_t count,
                            char *message)
{
    (void)seed;
    if (epoch == 2) {
        snprintf(message, 256, "nothing on the third day");
        return CBM_ERROR_CALLBACK;
    }
    for (int64_t i = 0; i < count; i++)
        order[i] = epoch == 1 ? *(const int64_t *)user : samples - 1 - i;
    return CBM_OK;
}

static void test_an_order_of_ones_own(void **state)
{
    (void)state;
    int64_t drawn[N], constant = 7;
    cbm_batch b;
    cbm_loader *l = cbm_loader_open(numbers(0, N), .batch_size = 5, .order = backwards, .order_user = &constant,
                                    .draws = 6, .prefetch = 1);
    assert_int_equal(epoch_of(l, drawn), 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(drawn[i], N - 1 - i);
    assert_int_equal(epoch_of(l, drawn), 6);
    assert_int_equal(drawn[5], 7);
    assert_false(cbm_next(l, &b));
    expect_error(CBM_ERROR_CALLBACK, "[loader] the order of epoch 2 of 'tensors': nothing on the third day");
    cbm_loader_rewind(l, 1);
    constant = N;
    assert_false(cbm_next(l, &b));
    expect_error(CBM_ERROR_RANGE,
                 "[loader] the order of epoch 1 of 'tensors': the order names sample 23, and there are 23");
}

/* ---- samples of different lengths ---- */

static int64_t length_of(int64_t index)
{
    return index * 3 % 5;
}

static cbm_status read_words(void *user, const cbm_sample_request *s)
{
    const int64_t length = user ? *(const int64_t *)user : length_of(s->index);
    for (int64_t i = 0; i < length && i < 4; i++)
        for (int k = 0; k < 2; k++)
            ((float *)s->input)[2 * i + k] = (float)(100 * s->index + 10 * i + k);
    for (int64_t i = 0; i <= s->index % 3; i++)
        ((uint8_t *)s->target)[i] = (uint8_t)s->index;
    *s->input_length = length;
    *s->target_length = 1 + s->index % 3;
    return CBM_OK;
}

static cbm_dataset *words(const int64_t *length)
{
    return cbm_dataset_make(cx, .name = "words", .count = 11, .input_shape = CBM_SHAPE(4, 2),
                            .target_shape = CBM_SHAPE(3), .target_dtype = CBM_U8, .variable_input = 1,
                            .variable_target = 1, .input_padding = -1, .target_padding = 255, .read = read_words,
                            .user = (void *)(uintptr_t)length);
}

static void expect_batch(const cbm_batch *b)
{
    float x[4 * 4 * 2];
    int64_t lengths[4], longest = cbm_tensor_size(b->input, 1), most = 0;
    assert_int_equal(cbm_tensor_rank(b->input), 3);
    assert_int_equal(cbm_read(b->input, x, (size_t)(b->size * longest * 2) * sizeof *x), CBM_OK);
    assert_int_equal(cbm_read(b->input_lengths, lengths, (size_t)b->size * sizeof *lengths), CBM_OK);
    for (int64_t i = 0; i < b->size; i++) {
        assert_int_equal(lengths[i], length_of(b->samples[i]));
        most = lengths[i] > most ? lengths[i] : most;
        for (int64_t t = 0; t < longest; t++)
            for (int k = 0; k < 2; k++) {
                const float want = t < lengths[i] ? (float)(100 * b->samples[i] + 10 * t + k) : -1;
                assert_true(x[(i * longest + t) * 2 + k] == want);
            }
    }
    assert_int_equal(longest, most);
    uint8_t y[4 * 3];
    longest = cbm_tensor_size(b->target, 1);
    assert_int_equal(cbm_read(b->target, y, (size_t)(b->size * longest)), CBM_OK);
    for (int64_t i = 0; i < b->size; i++)
        for (int64_t t = 0; t < longest; t++)
            assert_int_equal(y[i * longest + t], t <= b->samples[i] % 3 ? b->samples[i] : 255);
}

static void test_lengths(void **state)
{
    (void)state;
    const int64_t indices[] = { 10, 5, 0, 1 };
    for (int64_t workers = 0; workers <= 2; workers++) {
        cbm_loader *l = cbm_loader_open(words(NULL), .batch_size = 4, .workers = workers);
        int batches = 0;
        for (cbm_batch b; cbm_next(l, &b); batches++)
            expect_batch(&b);
        assert_int_equal(batches, 3);
    }
    cbm_dataset *some = cbm_dataset_subset(words(NULL), indices, 3); /* all of length 0 */
    cbm_loader *l = cbm_loader_open(some, .batch_size = 3);
    cbm_batch b;
    assert_true(cbm_next(l, &b));
    assert_int_equal(cbm_tensor_size(b.input, 1), 0);
    cbm_tensor *x, *y;
    assert_int_equal(cbm_dataset_get(words(NULL), 3, &x, &y), CBM_OK);
    assert_int_equal(cbm_tensor_size(x, 0), 4);
    assert_int_equal(cbm_tensor_size(y, 0), 1);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
}

static void test_wrong_lengths(void **state)
{
    (void)state;
    static const int64_t too_long = 5, negative = -1;
    cbm_batch b;
    assert_false(cbm_next(cbm_loader_open(words(&too_long), .batch_size = 4), &b));
    expect_error(CBM_ERROR_RANGE, "[loader] sample 0 of 'words': its input is 5 long, and may be 0 to 4");
    assert_false(cbm_next(cbm_loader_open(words(&negative), .batch_size = 4), &b));
    expect_error(CBM_ERROR_RANGE, "[loader] sample 0 of 'words': its input is -1 long, and may be 0 to 4");
    assert_null(cbm_dataset_make(cx, .name = "scalars", .count = 1, .variable_input = 1, .read = read_words));
    expect_error(CBM_ERROR_SHAPE, "[dataset] 'scalars': variable samples need a first axis");
    assert_null(cbm_dataset_make(cx, .name = "bytes", .count = 1, .input_shape = CBM_SHAPE(3), .input_dtype = CBM_U8,
                                 .variable_input = 1, .input_padding = 256, .read = read_words));
    expect_error(CBM_ERROR_RANGE, "[dataset] 'bytes': the padding 256 is no u8");
    assert_null(cbm_dataset_transform(words(NULL), cbm_random_flip()));
    expect_error(CBM_ERROR_UNSUPPORTED, "[transform] 'words' has inputs of variable length. HINT: change them in the "
                                        "dataset's read function");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_subset, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_concat, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_split, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_fold, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_weights, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_weights_without_replacement, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_ranks, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_an_order_of_ones_own, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_lengths, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_wrong_lengths, open_context, close_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
