# Tests: tests/DIR/test_NAME.c (and .sh) is the CTest test DIR.NAME; every file of tests/semantics is one; tests/support
# is shared by all of them; tests/fuzz holds fuzz targets; examples/ are compiled and run. bench/ is built on demand.
enable_testing()

set(test_environment CAMBIUM_PROGRAM=${PROJECT_BINARY_DIR}/cambium CAMBIUM_SOURCE=${PROJECT_SOURCE_DIR}
    CAMBIUM_BUILD=${PROJECT_BINARY_DIR} GOMP_SPINCOUNT=2000
    LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/leaks.supp:print_suppressions=0
    UBSAN_OPTIONS=print_stacktrace=1 CAMBIUM_HAVE_ONEDNN=${CAMBIUM_HAVE_ONEDNN})
set(test_timeout 300)
if(CAMBIUM_SANITIZE OR CAMBIUM_COVERAGE)
    set(test_timeout 900)
endif()

function(cambium_test name)
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT ${test_timeout}
        SKIP_RETURN_CODE 77)
endfunction()

# An executable of tests: for the folders of the library one that sees its internals, for those of the program one that sees
# the program's.
function(cambium_test_program target source folder)
    add_executable(${target} ${source})
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${folder})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/tests)
    target_compile_definitions(${target} PRIVATE CBM_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
        CBM_BINARY_DIR="${PROJECT_BINARY_DIR}")
    target_link_libraries(${target} PRIVATE PkgConfig::cmocka PkgConfig::jansson)
    if(source MATCHES "/tests/(cli|recipes)/")
        target_sources(${target} PRIVATE $<TARGET_OBJECTS:cambium_program_objects>
            $<TARGET_OBJECTS:cambium_program_main> ${PROJECT_SOURCE_DIR}/tests/support/folder.c)
        target_link_libraries(${target} PRIVATE cambium cambium_program_settings)
        return()
    endif()
    if(source MATCHES "/(bench|networks)/")
        target_link_libraries(${target} PRIVATE bench_networks)
    endif()
    if(TARGET test_support)
        target_link_libraries(${target} PRIVATE test_support)
    endif()
    target_link_libraries(${target} PRIVATE cambium_static)
    if(TARGET cambium-media)
        target_link_libraries(${target} PRIVATE cambium-media)
    endif()
endfunction()

file(GLOB support_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/support/*.c)
if(support_sources)
    add_library(test_support STATIC ${support_sources})
    target_include_directories(test_support PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(test_support PUBLIC cambium_static PkgConfig::cmocka)
endif()

# The networks that are measured: the benchmarks' and the tests of them.
file(GLOB network_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/networks/*.c)
add_library(bench_networks STATIC EXCLUDE_FROM_ALL ${network_sources})
target_include_directories(bench_networks PUBLIC ${PROJECT_SOURCE_DIR})
target_link_libraries(bench_networks PUBLIC cambium_static m)

file(GLOB test_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/*/test_*.c
    ${PROJECT_SOURCE_DIR}/tests/semantics/*.c)
list(REMOVE_DUPLICATES test_sources)
foreach(source ${test_sources})
    get_filename_component(folder ${source} DIRECTORY)
    get_filename_component(folder ${folder} NAME)
    if(folder MATCHES "^(cli|recipes)$" AND NOT TARGET cambium_program_objects OR
        folder STREQUAL "media" AND NOT TARGET cambium-media)
        continue()
    endif()
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    set(target test_${folder}_${name})
    cambium_test_program(${target} ${source} tests)
    add_test(NAME ${folder}.${name} COMMAND ${target})
    cambium_test(${folder}.${name})
endforeach()

file(GLOB test_scripts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/*/test_*.sh)
foreach(source ${test_scripts})
    get_filename_component(folder ${source} DIRECTORY)
    get_filename_component(folder ${folder} NAME)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    if("${folder}.${name}" MATCHES "^(install.install|docs.guide)$" AND (CAMBIUM_SANITIZE OR CAMBIUM_LIBFUZZER))
        continue() # outside programs are built without sanitizers
    endif()
    add_test(NAME ${folder}.${name} COMMAND sh ${source})
    cambium_test(${folder}.${name})
endforeach()

# One program for every function of every SIMD level; `check_kernels --bench` times them.
file(GLOB kernel_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/kernels/*.c)
cambium_test_program(check_kernels "${kernel_sources}" tests)
add_test(NAME kernels.check COMMAND check_kernels)
cambium_test(kernels.check)

# Fuzz targets define LLVMFuzzerTestOneInput; seeds lie in tests/fuzz/seeds/NAME/.
file(GLOB fuzz_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/*.c)
list(REMOVE_ITEM fuzz_sources ${PROJECT_SOURCE_DIR}/tests/fuzz/driver.c)
foreach(source ${fuzz_sources})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^fuzz_" "" name ${name})
    set(seeds ${PROJECT_SOURCE_DIR}/tests/fuzz/seeds/${name})
    cambium_test_program(fuzz_${name} ${source} fuzz)
    if(CAMBIUM_LIBFUZZER)
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
        if(NOT IS_DIRECTORY ${seeds})
            set(seeds "")
        endif()
        file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz/corpus/${name})
        add_test(NAME fuzz.${name} COMMAND fuzz_${name} -max_total_time=10 -max_len=65536 -rss_limit_mb=4096
            -artifact_prefix=${PROJECT_BINARY_DIR}/fuzz/ ${PROJECT_BINARY_DIR}/fuzz/corpus/${name} ${seeds})
    else()
        target_sources(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/driver.c)
        add_test(NAME fuzz.${name} COMMAND fuzz_${name} 20000 5 ${seeds})
    endif()
    cambium_test(fuzz.${name})
endforeach()

file(GLOB examples CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/*.c)
foreach(source ${examples})
    get_filename_component(name ${source} NAME_WE)
    add_executable(example_${name} ${source})
    set_target_properties(example_${name} PROPERTIES OUTPUT_NAME ${name}
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
    target_link_libraries(example_${name} PRIVATE cambium m)
    if(TARGET cambium-media)
        target_link_libraries(example_${name} PRIVATE cambium-media)
    endif()
    add_test(NAME example.${name} COMMAND example_${name} WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
    cambium_test(example.${name})
endforeach()

add_custom_target(bench)
file(GLOB bench_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/*.c)
foreach(source ${bench_sources})
    get_filename_component(name ${source} NAME_WE)
    cambium_test_program(bench_${name} ${source} bench)
    set_target_properties(bench_${name} PROPERTIES EXCLUDE_FROM_ALL ON OUTPUT_NAME ${name})
    add_dependencies(bench bench_${name})
endforeach()

# Programs on oneDNN 2.x alone, without the library: what the same works cost with nothing around the kernels.
if(CAMBIUM_HAVE_ONEDNN AND CAMBIUM_ONEDNN_MAJOR EQUAL 2)
    file(GLOB bare_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/bare/bare_*.c)
    foreach(source ${bare_sources})
        get_filename_component(name ${source} NAME_WE)
        add_executable(${name} EXCLUDE_FROM_ALL ${source} ${PROJECT_SOURCE_DIR}/bench/bare/bare.c)
        set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
        target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
        target_include_directories(${name} SYSTEM PRIVATE ${DNNL_INCLUDE_DIR})
        target_compile_options(${name} PRIVATE -O3 -march=native -fopenmp -Wno-stringop-overread)
        target_link_libraries(${name} PRIVATE ${DNNL_LIBRARY} -fopenmp m)
        add_dependencies(bench ${name})
    endforeach()
endif()
