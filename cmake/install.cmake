# Headers, libraries, program, pkg-config files, CMake package.
include(CMakePackageConfigHelpers)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/cambium DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")
install(TARGETS cambium EXPORT cambium LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(CAMBIUM_MEDIA)
    install(FILES media/media.h media/image_folder.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cambium)
    install(TARGETS cambium-media EXPORT cambium LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(CAMBIUM_PROGRAM AND CAMBIUM_MEDIA)
    install(TARGETS cambium_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# The .pc files find their prefix from where they lie, so that `cmake --install build --prefix DIR` gives right ones.
file(RELATIVE_PATH pc_to_prefix /root/${CMAKE_INSTALL_LIBDIR}/pkgconfig /root)
string(REGEX REPLACE "/$" "" pc_to_prefix ${pc_to_prefix})
foreach(library cambium cambium-media)
    if(TARGET ${library})
        configure_file(cmake/${library}.pc.in ${library}.pc @ONLY)
        install(FILES ${PROJECT_BINARY_DIR}/${library}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
    endif()
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cambium)
install(EXPORT cambium NAMESPACE cambium:: FILE cambium-targets.cmake DESTINATION ${package_dir})
configure_package_config_file(cmake/cambium-config.cmake.in cambium-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(cambium-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cambium-config.cmake ${PROJECT_BINARY_DIR}/cambium-config-version.cmake
    DESTINATION ${package_dir})
