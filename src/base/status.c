/* status.c: names of statuses and dtypes, the version, and the arithmetic of shapes. Rests on nothing but
   common.h. */
#include <cambium/common.h>

static const char *const status_names[] = {
    [CBM_OK] = "ok",
    [CBM_ERROR_INVALID] = "invalid argument",
    [CBM_ERROR_SHAPE] = "shape error",
    [CBM_ERROR_DTYPE] = "dtype error",
    [CBM_ERROR_RANGE] = "range error",
    [CBM_ERROR_STATE] = "state error",
    [CBM_ERROR_UNSUPPORTED] = "unsupported",
    [CBM_ERROR_MEMORY] = "out of memory",
    [CBM_ERROR_IO] = "input/output error",
    [CBM_ERROR_FORMAT] = "format error",
    [CBM_ERROR_CALLBACK] = "callback error",
    [CBM_ERROR_CANCELLED] = "cancelled",
};

static const struct {
    const char *name;
    size_t size;
} dtypes[CBM_DTYPE_COUNT] = {
    [CBM_F32] = { "f32", 4 }, [CBM_F64] = { "f64", 8 },   [CBM_I64] = { "i64", 8 },   [CBM_I32] = { "i32", 4 },
    [CBM_U8] = { "u8", 1 },   [CBM_BOOL] = { "bool", 1 }, [CBM_BF16] = { "bf16", 2 },
};

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *cbm_status_name(cbm_status status)
{
    size_t i = (size_t)status;
    return i < sizeof status_names / sizeof *status_names ? status_names[i] : "unknown status";
}

const char *cbm_version(void)
{
    return TEXT(CBM_VERSION_MAJOR) "." TEXT(CBM_VERSION_MINOR) "." TEXT(CBM_VERSION_PATCH);
}

int64_t cbm_version_number(void)
{
    return CBM_VERSION_MAJOR * 10000 + CBM_VERSION_MINOR * 100 + CBM_VERSION_PATCH;
}

size_t cbm_dtype_size(cbm_dtype dtype)
{
    size_t i = (size_t)dtype;
    return i < CBM_DTYPE_COUNT ? dtypes[i].size : 0;
}

const char *cbm_dtype_name(cbm_dtype dtype)
{
    size_t i = (size_t)dtype;
    return i < CBM_DTYPE_COUNT ? dtypes[i].name : "unknown";
}

/* An extent of 0 does not excuse the others: (0, 2^40, 2^40) is refused, since code that multiplies the other
   extents alone must not overflow either. */
int64_t cbm_shape_count(const cbm_shape *shape)
{
    if (shape->v[0] < 0 || shape->v[0] > CBM_MAX_DIMS)
        return -1;
    int64_t count = 1;
    bool empty = false;
    for (int64_t i = 1; i <= shape->v[0]; i++) {
        int64_t extent = shape->v[i];
        if (extent < 0)
            return -1;
        if (extent == 0)
            empty = true;
        else if (__builtin_mul_overflow(count, extent, &count))
            return -1;
    }
    return empty ? 0 : count;
}

bool cbm_shape_equal(const cbm_shape *a, const cbm_shape *b)
{
    if (a->v[0] != b->v[0] || a->v[0] < 0 || a->v[0] > CBM_MAX_DIMS)
        return false;
    for (int64_t i = 1; i <= a->v[0]; i++)
        if (a->v[i] != b->v[i])
            return false;
    return true;
}
