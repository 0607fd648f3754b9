/* SHA-256: the known answers of FIPS 180-4's examples, and that pieces add up. */
#include "cli/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void expect(const void *data, size_t size, const char *digest)
{
    cbm_sha256 s;
    char hex[65];
    cbm_sha256_begin(&s);
    cbm_sha256_add(&s, data, size);
    cbm_sha256_end(&s, hex);
    assert_string_equal(hex, digest);
}

static void test_known(void **state)
{
    (void)state;
    static const char long_one[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    expect("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(long_one, sizeof long_one - 1, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_million(void **state)
{
    (void)state;
    char block[1000], hex[65];
    memset(block, 'a', sizeof block);
    cbm_sha256 s;
    cbm_sha256_begin(&s);
    for (int i = 0; i < 1000; i++)
        cbm_sha256_add(&s, block, sizeof block);
    cbm_sha256_end(&s, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_pieces(void **state)
{
    (void)state;
    char data[300], whole[65], parts[65];
    for (size_t n = 0; n <= sizeof data; n++) {
        cbm_sha256 s;
        for (size_t i = 0; i < n; i++)
            data[i] = (char)(i * 7);
        cbm_sha256_begin(&s);
        cbm_sha256_add(&s, data, n);
        cbm_sha256_end(&s, whole);
        cbm_sha256_begin(&s);
        for (size_t i = 0, step = 1; i < n; i += step, step = step * 3 % 71 + 1)
            cbm_sha256_add(&s, data + i, i + step > n ? n - i : step);
        cbm_sha256_end(&s, parts);
        assert_string_equal(whole, parts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_million),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
