# libcambium-media: pictures and plots, without libcambium. Its headers are installed as <cambium/media.h> and
# <cambium/image_folder.h>, and found under these names here too.
file(GLOB media_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/media/*.c)
if(NOT media_sources)
    set(CAMBIUM_MEDIA OFF)
    return()
endif()

foreach(header media.h image_folder.h)
    configure_file(${PROJECT_SOURCE_DIR}/media/${header} ${PROJECT_BINARY_DIR}/include/cambium/${header} COPYONLY)
endforeach()
add_library(cambium-media SHARED ${media_sources})
target_include_directories(cambium-media PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(cambium-media PRIVATE PNG::PNG JPEG::JPEG PkgConfig::cairo m)
set_target_properties(cambium-media PROPERTIES EXPORT_NAME media)
cambium_shared(cambium-media cambium-media.map)
