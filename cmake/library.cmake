# libcambium. Each file is compiled once, for the shared library and the static one; the kernels in backend/cpu/simd
# once for each level of the processor, the level's name in CBM_SIMD; which level runs is decided at run time.
file(GLOB library_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*/*.c ${PROJECT_SOURCE_DIR}/src/backend/*/*.c)
file(GLOB onednn_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backend/cpu/onednn/*.c)
# Of this folder a build has either the stand-in or all but the other version.
if(CAMBIUM_HAVE_ONEDNN)
    list(FILTER onednn_sources EXCLUDE REGEX "/onednn/(none|v[^${CAMBIUM_ONEDNN_MAJOR}])\\.c$")
else()
    list(FILTER onednn_sources INCLUDE REGEX "/onednn/none\\.c$")
endif()
list(APPEND library_sources ${onednn_sources})
file(GLOB simd_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backend/cpu/simd/*.c)

add_library(cambium_settings INTERFACE)
target_include_directories(cambium_settings INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
if(CAMBIUM_HAVE_ONEDNN)
    target_compile_definitions(cambium_settings INTERFACE CBM_HAVE_ONEDNN=${CAMBIUM_ONEDNN_MAJOR})
    target_include_directories(cambium_settings SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
endif()
if(CAMBIUM_PLAIN_HEAP OR CAMBIUM_SANITIZE MATCHES address)
    target_compile_definitions(cambium_settings INTERFACE CBM_PLAIN_HEAP=1)
endif()

if(CAMBIUM_LAPACK_SONAME)
    set_source_files_properties(${PROJECT_SOURCE_DIR}/src/backend/lapack/lapack.c PROPERTIES
        COMPILE_DEFINITIONS CBM_LAPACK="${CAMBIUM_LAPACK_SONAME}"
        INCLUDE_DIRECTORIES ${LAPACKE_INCLUDE_DIR})
endif()

add_library(cambium_objects OBJECT ${library_sources})
target_link_libraries(cambium_objects PRIVATE cambium_settings PkgConfig::jansson ZLIB::ZLIB Threads::Threads)
set(cambium_object_files $<TARGET_OBJECTS:cambium_objects>)

set(parallel ${PROJECT_SOURCE_DIR}/src/base/parallel.c)
if(NOT CAMBIUM_HAVE_GOMP)
    set_source_files_properties(${parallel} PROPERTIES COMPILE_DEFINITIONS CBM_NO_OPENMP=1)
elseif(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set_source_files_properties(${parallel} PROPERTIES COMPILE_OPTIONS -fopenmp)
endif()

# Two instructions in one function round as they do in two.
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/backend/cpu/simd/pairs.c PROPERTIES
    COMPILE_OPTIONS -ffp-contract=off)

set(simd_levels baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    list(APPEND simd_levels avx2 avx512)
    set(simd_flags_avx2 -mavx2 -mfma -mf16c)
    set(simd_flags_avx512 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512)
endif()
if(simd_sources)
    foreach(level ${simd_levels})
        add_library(cambium_simd_${level} OBJECT ${simd_sources})
        target_link_libraries(cambium_simd_${level} PRIVATE cambium_settings)
        target_compile_definitions(cambium_simd_${level} PRIVATE CBM_SIMD=${level})
        target_compile_options(cambium_simd_${level} PRIVATE
            -O3 -fno-math-errno -fno-trapping-math -ffp-contract=fast ${simd_flags_${level}})
        list(APPEND cambium_object_files $<TARGET_OBJECTS:cambium_simd_${level}>)
    endforeach()
endif()

set(cambium_libraries PkgConfig::jansson ZLIB::ZLIB Threads::Threads ${CMAKE_DL_LIBS} m)
if(CAMBIUM_HAVE_ONEDNN)
    list(APPEND cambium_libraries ${DNNL_LIBRARY})
endif()
if(CAMBIUM_HAVE_GOMP)
    list(APPEND cambium_libraries gomp)
endif()

# Exported names are those marked CBM_API; the version script gives them the version CAMBIUM_0.1.
function(cambium_shared target map)
    set_target_properties(${target} PROPERTIES VERSION ${PROJECT_VERSION}
        SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
    if(NOT APPLE)
        target_link_options(${target} PRIVATE LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/${map})
        set_target_properties(${target} PROPERTIES LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/${map})
        if(NOT CAMBIUM_SANITIZE AND NOT CAMBIUM_LIBFUZZER)
            target_link_options(${target} PRIVATE LINKER:--no-undefined)
        endif()
    endif()
endfunction()

add_library(cambium SHARED ${cambium_object_files})
target_include_directories(cambium PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(cambium PRIVATE ${cambium_libraries})
set_target_properties(cambium PROPERTIES LINKER_LANGUAGE C)
if(CAMBIUM_ONEDNN_ROOT) # which the system's linker does not find by itself
    get_filename_component(onednn_folder ${DNNL_LIBRARY} DIRECTORY)
    set_target_properties(cambium PROPERTIES INSTALL_RPATH ${onednn_folder})
endif()
cambium_shared(cambium cambium.map)

add_library(cambium_static STATIC ${cambium_object_files})
set_target_properties(cambium_static PROPERTIES LINKER_LANGUAGE C)
target_link_libraries(cambium_static PUBLIC cambium_settings ${cambium_libraries})
