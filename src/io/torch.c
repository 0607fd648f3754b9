/* torch.c: PyTorch's files of weights, torch.save of a state_dict: a zip archive of a pickle and the storages' bytes, or the older
   form, five pickles and then the bytes. What is read becomes the entries of a safetensors file in memory, so that weights load
   from either. Rests on pickle.h, zip.h and safetensors.h. */
#include "io/torch.h"
#include "io/pickle.h"
#include "io/zip.h"
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 16, ENTRIES_MOST = 1 << 17, NAME_MOST = 500 };

static const uint8_t old_magic[] = {
    0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'
};

typedef struct source {
    const uint8_t *bytes; /* of a storage; NULL: not there */
    size_t size;
} source;

typedef struct reader {
    cbm_heap *heap;
    const uint8_t *bytes;
    size_t size;
    cbm_pickle pickle;
    cbm_zip zip;
    char folder[CBM_ZIP_NAME]; /* of a zip: what members' names begin with */
    cbm_array sources;         /* of source: of each storage */
    cbm_array found;           /* of found */
    cbm_array names;           /* bytes */
    size_t entries;            /* of dictionaries, met so far */
    cbm_problem *problem;
} reader;

typedef struct found {
    size_t name; /* in names */
    int32_t tensor;
    uint64_t begin, bytes;
} found;

bool cbm_is_torch(const uint8_t *bytes, size_t size)
{
    const bool zip = size >= 4 && cbm_u32_le(bytes) == CBM_ZIP_LOCAL;
    return zip || (size >= sizeof old_magic && memcmp(bytes, old_magic, sizeof old_magic) == 0);
}

/* ---- the two forms: the value that holds the tensors, and where storages are ---- */

static bool memory_gone(reader *r)
{
    return cbm_refuse(r->problem, CBM_ERROR_MEMORY, "no memory for its tables");
}

/* Storages by key, so that one is looked for once however often it is referred to. */
typedef struct keyed {
    const char *key;
    size_t length, index; /* index: in the pickle's storages */
} keyed;

static int by_key(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    return x->length ? memcmp(x->key, y->key, x->length) : 0;
}

/* An array of keyed, sorted, and room for the sources. */
static bool sort_storages(reader *r, cbm_array *order)
{
    for (size_t i = 0; i < r->pickle.storages.count; i++) {
        const cbm_pickle_storage *s = &CBM_AT(&r->pickle.storages, cbm_pickle_storage, i);
        if (!cbm_array_push(order, &(keyed){ s->key, s->length, i }) || !cbm_array_push(&r->sources, &(source){ 0 }))
            return memory_gone(r);
    }
    if (order->count)
        qsort(order->data, order->count, sizeof(keyed), by_key);
    return true;
}

/* The first of the storages with this key, and one past the last. */
static void range_of(const cbm_array *order, keyed key, size_t *first, size_t *end)
{
    size_t low = 0, high = order->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (by_key(&CBM_AT(order, keyed, middle), &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (*first = *end = low; *end < order->count && by_key(&CBM_AT(order, keyed, *end), &key) == 0;)
        ++*end;
}

/* A member of the archive; storages are never compressed, so that no small file stands for large memory. */
static bool member_bytes(reader *r, const char *name, source *out)
{
    char shown[CBM_SHOWN];
    uint8_t *inflated;
    const cbm_zip_member *m = cbm_zip_find(&r->zip, name);
    if (!m)
        return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "it lacks '%s'", cbm_shown(name, shown));
    if (m->method != CBM_ZIP_STORED)
        return cbm_refuse(r->problem, CBM_ERROR_UNSUPPORTED, "'%s' is compressed, as PyTorch writes nothing",
                          cbm_shown(name, shown));
    *out = (source){ cbm_zip_read(&r->zip, r->heap, m, &inflated, r->problem), (size_t)m->size };
    return out->bytes != NULL;
}

/* Each storage's bytes are the member data/KEY, which is checked once. */
static bool find_members(reader *r, const cbm_array *order)
{
    char name[CBM_ZIP_NAME + 96];
    for (size_t i = 0; i < order->count; i++) {
        const keyed *k = &CBM_AT(order, keyed, i);
        source *at = &CBM_AT(&r->sources, source, k->index);
        if (i > 0 && by_key(k - 1, k) == 0) {
            *at = CBM_AT(&r->sources, source, k[-1].index);
            continue;
        }
        if (k->length > 64)
            return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "a storage's name is too long");
        snprintf(name, sizeof name, "%.200sdata/%.*s", r->folder, (int)k->length, k->key);
        if (!member_bytes(r, name, at))
            return false;
    }
    return true;
}

static bool read_zip(reader *r, int32_t *value)
{
    if (!cbm_zip_parse(&r->zip, r->bytes, r->size, NULL, r->problem))
        return false;
    const cbm_zip_member *pickle = NULL;
    for (size_t i = 0; i < r->zip.members.count; i++) {
        const cbm_zip_member *m = &CBM_AT(&r->zip.members, cbm_zip_member, i);
        if (strcmp(m->name, "data.pkl") == 0 || cbm_ends_in(m->name, "/data.pkl"))
            pickle = m;
        if (cbm_ends_in(m->name, "constants.pkl"))
            return cbm_refuse(r->problem, CBM_ERROR_UNSUPPORTED,
                              "it is a TorchScript program. HINT: in PyTorch, torch.save(model.state_dict(), path)");
    }
    if (!pickle)
        return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "it is a zip archive without data.pkl: not of PyTorch's");
    const size_t folder = strlen(pickle->name) - strlen("data.pkl");
    memcpy(r->folder, pickle->name, folder);
    source bytes, order;
    char name[CBM_ZIP_NAME + 32];
    snprintf(name, sizeof name, "%sbyteorder", r->folder);
    if (cbm_zip_find(&r->zip, name) &&
        (!member_bytes(r, name, &order) || order.size != 6 || memcmp(order.bytes, "little", 6) != 0))
        return cbm_refuse(r->problem, CBM_ERROR_UNSUPPORTED, "its numbers are big-endian");
    size_t used;
    if (!member_bytes(r, pickle->name, &bytes) ||
        !cbm_pickle_read(&r->pickle, bytes.bytes, bytes.size, &used, value, r->problem))
        return false;
    cbm_array storages = CBM_ARRAY(r->heap, keyed);
    const bool done = sort_storages(r, &storages) && find_members(r, &storages);
    cbm_array_free(&storages);
    return done;
}

/* The bytes of the old form's storages, from `at` on, in the order of the list of their keys. */
static bool find_bytes(reader *r, int32_t list, const uint8_t *at, const cbm_array *order)
{
    const uint8_t *end = r->bytes + r->size;
    const cbm_pickle_value *keys = cbm_pickle_at(&r->pickle, list);
    if (keys->kind != CBM_PICKLE_LIST)
        return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "it lacks the list of storages");
    for (const cbm_pickle_link *l = cbm_pickle_link_at(&r->pickle, keys->first); l;
         l = cbm_pickle_link_at(&r->pickle, l->next)) {
        const cbm_pickle_value *key = cbm_pickle_at(&r->pickle, l->value);
        if (key->kind != CBM_PICKLE_TEXT || end - at < 8)
            return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "its storages are cut off");
        const uint64_t count = cbm_u64_le(at);
        size_t bytes = 0;
        at += 8;
        size_t first, last;
        range_of(order, (keyed){ key->text, key->length, 0 }, &first, &last);
        for (size_t i = first; i < last; i++) {
            const size_t index = CBM_AT(order, keyed, i).index;
            const cbm_pickle_storage *s = &CBM_AT(&r->pickle.storages, cbm_pickle_storage, index);
            source *held = &CBM_AT(&r->sources, source, index);
            const size_t each = s->type ? s->type->bits / 8 : 1;
            if (held->bytes)
                return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "it lists a storage twice");
            if (count > (size_t)(end - at) / each)
                return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "its storages are cut off");
            bytes = (size_t)count * each;
            *held = (source){ at, bytes };
        }
        at += bytes;
    }
    return true;
}

/* Magic number, protocol, the machine's sizes, the value, the storages' names in the order of their bytes: for each the count of
   its elements and the elements. */
static bool read_old(reader *r, int32_t *value)
{
    const uint8_t *at = r->bytes, *end = r->bytes + r->size;
    int32_t values[5];
    for (int i = 0; i < 5; i++) {
        size_t used;
        if (!cbm_pickle_read(&r->pickle, at, (size_t)(end - at), &used, &values[i], r->problem))
            return false;
        at += used;
    }
    *value = values[3];
    cbm_array order = CBM_ARRAY(r->heap, keyed);
    const bool done = sort_storages(r, &order) && find_bytes(r, values[4], at, &order);
    cbm_array_free(&order);
    return done;
}

/* ---- tensors by name: dictionaries in dictionaries have their names joined by dots ---- */

static bool add_found(reader *r, const char *name, int32_t tensor)
{
    const found f = { .name = r->names.count, .tensor = tensor };
    return (cbm_array_append(&r->names, name, strlen(name) + 1) && cbm_array_push(&r->found, &f)) || memory_gone(r);
}

static bool collect(reader *r, int32_t value, const char *prefix, int depth)
{
    const cbm_pickle_value *dict = cbm_pickle_at(&r->pickle, value);
    if (depth > DEEPEST)
        return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "its dictionaries are too deep");
    for (const cbm_pickle_link *l = cbm_pickle_link_at(&r->pickle, dict->first); l;
         l = cbm_pickle_link_at(&r->pickle, l->next)) {
        const cbm_pickle_value *key = cbm_pickle_at(&r->pickle, l->value);
        l = cbm_pickle_link_at(&r->pickle, l->next);
        const cbm_pickle_value *v = cbm_pickle_at(&r->pickle, l->value);
        if (v->kind != CBM_PICKLE_TENSOR && v->kind != CBM_PICKLE_DICT)
            continue;
        /* Dictionaries that hold one another many times over stand for more than they are. */
        if (++r->entries > ENTRIES_MOST)
            return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "its dictionaries hold more than %d tensors", ENTRIES_MOST);
        char name[512], number[24];
        snprintf(number, sizeof number, "%lld", (long long)key->number);
        const bool text = key->kind == CBM_PICKLE_TEXT;
        if (!text && key->kind != CBM_PICKLE_NUMBER)
            continue;
        if (text && memchr(key->text, 0, key->length))
            return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "a name has a zero in it");
        if (text && key->length > NAME_MOST)
            return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "a name is too long");
        const int length = snprintf(name, sizeof name, "%s%s%.*s", prefix, *prefix ? "." : "",
                                    text ? (int)key->length : (int)strlen(number), text ? key->text : number);
        if (length >= (int)sizeof name - 1)
            return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "a name is too long");
        if (!(v->kind == CBM_PICKLE_TENSOR ? add_found(r, name, (int32_t)v->number)
                                           : collect(r, l->value, name, depth + 1)))
            return false;
    }
    return true;
}

/* ---- their bytes, without gaps ---- */

static const char *name_of(const reader *r, const found *f)
{
    return (const char *)r->names.data + f->name;
}

static const cbm_pickle_tensor *tensor_of(const reader *r, const found *f)
{
    return &CBM_AT(&r->pickle.tensors, cbm_pickle_tensor, f->tensor);
}

/* A tensor lies within its storage, and is not larger than it. */
static bool measure(reader *r, found *f)
{
    const cbm_pickle_tensor *t = tensor_of(r, f);
    const source *s = &CBM_AT(&r->sources, source, t->storage);
    const int64_t each = t->type->bits / 8, held = (int64_t)s->size / each;
    int64_t count = 1, last = t->offset;
    bool fits = s->bytes != NULL;
    for (int64_t d = 1; d <= t->shape.v[0]; d++)
        fits = fits && !__builtin_mul_overflow(count, t->shape.v[d], &count);
    for (int64_t d = 1; d <= t->shape.v[0] && count > 0; d++) {
        int64_t step;
        fits = fits && !__builtin_mul_overflow(t->shape.v[d] - 1, t->stride.v[d], &step) &&
               !__builtin_add_overflow(last, step, &last);
    }
    char shown[CBM_SHOWN];
    if (!fits || count > held || (count > 0 && last >= held))
        return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "tensor '%s' does not lie in its storage",
                          cbm_shown(name_of(r, f), shown));
    f->bytes = (uint64_t)count * (uint64_t)each;
    return true;
}

static void copy_elements(const cbm_pickle_tensor *t, const uint8_t *from, uint8_t *to)
{
    const size_t each = t->type->bits / 8;
    const int64_t rank = t->shape.v[0], row = rank ? t->shape.v[rank] : 1, step = rank ? t->stride.v[rank] : 1;
    int64_t at[CBM_MAX_DIMS] = { 0 }, offset = t->offset;
    while (true) {
        if (step == 1)
            memcpy(to, from + (size_t)offset * each, (size_t)row * each);
        else
            for (int64_t i = 0; i < row; i++)
                memcpy(to + (size_t)i * each, from + (size_t)(offset + i * step) * each, each);
        to += (size_t)row * each;
        int64_t d = rank - 1;
        for (; d > 0; d--) {
            offset += t->stride.v[d];
            if (++at[d] < t->shape.v[d])
                break;
            offset -= t->stride.v[d] * t->shape.v[d];
            at[d] = 0;
        }
        if (d <= 0)
            return;
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const cbm_entry *)a)->name, ((const cbm_entry *)b)->name);
}

static bool make_entries(reader *r, cbm_safetensors *file)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < r->found.count; i++) {
        found *f = &CBM_AT(&r->found, found, i);
        if (!measure(r, f))
            return false;
        f->begin = bytes;
        if (f->bytes > SIZE_MAX / 4 - bytes)
            return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "its tensors are too large");
        bytes += (f->bytes + 63) / 64 * 64;
    }
    /* The same storage may serve several names, but a file of weights does not say the same thing over and over. */
    if (bytes / 8 > r->size + 4096)
        return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "its %zu bytes stand for %llu: not a file of weights", r->size,
                          (unsigned long long)bytes);
    file->owned_bytes = (size_t)bytes + r->names.count + 1;
    file->owned = cbm_heap_take(r->heap, file->owned_bytes);
    if (!file->owned)
        return cbm_refuse(r->problem, CBM_ERROR_MEMORY, "no memory for its %llu bytes", (unsigned long long)bytes);
    char *names = (char *)file->owned + bytes;
    memcpy(names, r->names.count ? r->names.data : "", r->names.count);
    file->bytes = file->owned;
    file->entries = CBM_ARRAY(r->heap, cbm_entry);
    for (size_t i = 0; i < r->found.count; i++) {
        const found *f = &CBM_AT(&r->found, found, i);
        const cbm_pickle_tensor *t = tensor_of(r, f);
        const cbm_entry e = {
            .name = names + f->name, .type = t->type, .shape = t->shape, .begin = f->begin, .end = f->begin + f->bytes
        };
        if (!cbm_array_push(&file->entries, &e))
            return memory_gone(r);
        if (f->bytes)
            copy_elements(t, CBM_AT(&r->sources, source, t->storage).bytes, (uint8_t *)file->owned + f->begin);
    }
    if (r->found.count > 1)
        qsort(file->entries.data, file->entries.count, sizeof(cbm_entry), by_name);
    char shown[CBM_SHOWN];
    for (size_t i = 1; i < file->entries.count; i++)
        if (strcmp(cbm_safetensors_entry(file, i - 1)->name, cbm_safetensors_entry(file, i)->name) == 0)
            return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "two tensors are named '%s'",
                              cbm_shown(cbm_safetensors_entry(file, i)->name, shown));
    return true;
}

bool cbm_torch_parse(cbm_safetensors *file, const uint8_t *bytes, size_t size, cbm_problem *problem)
{
    cbm_heap *heap = cbm_context_heap(file->cx);
    reader r = { .heap = heap,
                 .bytes = bytes,
                 .size = size,
                 .pickle = cbm_pickle_begin(heap),
                 .sources = CBM_ARRAY(heap, source),
                 .found = CBM_ARRAY(heap, found),
                 .names = CBM_ARRAY(heap, char),
                 .problem = problem };
    cbm_zip_init(&r.zip, heap);
    int32_t value = -1;
    bool ok = cbm_u32_le(bytes) == CBM_ZIP_LOCAL ? read_zip(&r, &value) : read_old(&r, &value);
    if (ok && cbm_pickle_at(&r.pickle, value)->kind != CBM_PICKLE_DICT)
        ok = cbm_refuse(problem, CBM_ERROR_FORMAT, "it holds no dictionary of tensors");
    ok = ok && collect(&r, value, "", 0);
    if (ok && r.found.count == 0)
        ok = cbm_refuse(problem, CBM_ERROR_FORMAT, "it holds no tensor");
    ok = ok && make_entries(&r, file);
    cbm_pickle_end(&r.pickle);
    cbm_zip_free(&r.zip);
    cbm_array_free(&r.sources);
    cbm_array_free(&r.found);
    cbm_array_free(&r.names);
    return ok;
}
