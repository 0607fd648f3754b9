# The program: cli/ and recipes/. Only here do libcurl and libarchive come in. All but main is compiled once, for the
# program and for its tests; main, which holds the table of commands, once more for the tests under another name.
file(GLOB cli_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cli/*.c)
file(GLOB recipe_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/recipes/*.c)
list(REMOVE_ITEM cli_sources ${PROJECT_SOURCE_DIR}/cli/main.c)
if(NOT EXISTS ${PROJECT_SOURCE_DIR}/cli/main.c OR NOT CAMBIUM_MEDIA)
    set(CAMBIUM_PROGRAM OFF)
    return()
endif()

add_library(cambium_program_settings INTERFACE)
target_include_directories(cambium_program_settings INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/cli
    ${PROJECT_SOURCE_DIR}/recipes ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(cambium_program_settings INTERFACE cambium-media PkgConfig::jansson ZLIB::ZLIB CURL::libcurl
    LibArchive::LibArchive Threads::Threads m)

add_library(cambium_program_objects OBJECT ${cli_sources} ${recipe_sources})
target_link_libraries(cambium_program_objects PRIVATE cambium_program_settings)

add_library(cambium_program_main OBJECT EXCLUDE_FROM_ALL cli/main.c)
target_compile_definitions(cambium_program_main PRIVATE main=cbm_program_main)
target_link_libraries(cambium_program_main PRIVATE cambium_program_settings)

add_executable(cambium_program cli/main.c $<TARGET_OBJECTS:cambium_program_objects>)
set_target_properties(cambium_program PROPERTIES OUTPUT_NAME cambium
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
target_link_libraries(cambium_program PRIVATE cambium cambium_program_settings)
