# The program: cli/ and recipes/. Only here do libcurl and libarchive come in.
file(GLOB cli_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cli/*.c)
file(GLOB recipe_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/recipes/*.c)
if(NOT cli_sources OR NOT CAMBIUM_MEDIA)
    set(CAMBIUM_PROGRAM OFF)
    return()
endif()

add_executable(cambium_program ${cli_sources} ${recipe_sources})
set_target_properties(cambium_program PROPERTIES OUTPUT_NAME cambium
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
target_include_directories(cambium_program PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/recipes)
target_link_libraries(cambium_program PRIVATE cambium cambium-media PkgConfig::jansson ZLIB::ZLIB CURL::libcurl
    LibArchive::LibArchive Threads::Threads m)
