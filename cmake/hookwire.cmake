# How Hookwire's pieces are built: warnings, sanitizers, one static library per folder of core/.

set(HW_WARNINGS -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
	-Wpointer-arith -Wvla -Wundef -Wformat=2 -Wno-missing-field-initializers)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
	# wider there than gcc's options of the same name, which decide
	list(APPEND HW_WARNINGS -Wno-format-nonliteral -Wno-string-concatenation)
elseif(HW_SANITIZE)
	list(APPEND HW_WARNINGS -Wno-maybe-uninitialized) # instrumentation confuses it
endif()

add_library(hw_flags INTERFACE)
target_compile_options(hw_flags INTERFACE ${HW_WARNINGS} -fno-strict-aliasing -fno-omit-frame-pointer)
target_compile_definitions(hw_flags INTERFACE _GNU_SOURCE HW_VERSION="${PROJECT_VERSION}")
if(HW_WERROR)
	target_compile_options(hw_flags INTERFACE -Werror)
endif()
if(HW_SANITIZE)
	target_compile_options(hw_flags INTERFACE -fsanitize=${HW_SANITIZE} -fno-sanitize-recover=all)
	target_link_options(hw_flags INTERFACE -fsanitize=${HW_SANITIZE})
else()
	target_compile_options(hw_flags INTERFACE -fstack-protector-strong)
	target_link_options(hw_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
if(HW_FUZZ)
	target_compile_options(hw_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# hw_core_library(NAME LINKS targets...): core/NAME/*.c as hw_NAME
function(hw_core_library name)
	cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
	file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/core/${name}/*.c)
	if(sources)
		set(kind STATIC)
		set(scope PUBLIC)
	else() # a folder that holds only headers so far
		set(kind INTERFACE)
		set(scope INTERFACE)
	endif()
	add_library(hw_${name} ${kind} ${sources})
	target_include_directories(hw_${name} ${scope} ${PROJECT_SOURCE_DIR}/core ${PROJECT_SOURCE_DIR}/core/include)
	target_link_libraries(hw_${name} ${scope} hw_flags ${ARG_LINKS})
endfunction()

# hw_embed_json(LIBRARY NAME FILE): FILE as the array NAME of that library
function(hw_embed_json library name file)
	set(output ${CMAKE_BINARY_DIR}/embedded/${name}.c)
	add_custom_command(OUTPUT ${output}
		COMMAND ${CMAKE_COMMAND} -DINPUT=${PROJECT_SOURCE_DIR}/${file} -DNAME=${name} -DOUTPUT=${output}
			-P ${PROJECT_SOURCE_DIR}/cmake/embed_json.cmake
		DEPENDS ${PROJECT_SOURCE_DIR}/${file} ${PROJECT_SOURCE_DIR}/cmake/embed_json.cmake
		COMMENT "Embedding ${file}" VERBATIM)
	target_sources(${library} PRIVATE ${output})
endfunction()

add_custom_target(plugins)

# hw_plugin(NAME sources...): plugins/NAME as build/plugins/NAME.so, seeing plugin.h and nothing else of ours
function(hw_plugin name)
	add_library(plugin_${name} MODULE ${ARGN})
	add_dependencies(plugins plugin_${name})
	target_include_directories(plugin_${name} PRIVATE ${PROJECT_SOURCE_DIR}/core/include)
	target_link_libraries(plugin_${name} PRIVATE hw_flags)
	set_target_properties(plugin_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name}
		LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/plugins)
	# not CMAKE_INSTALL_LIBDIR: the binary finds them relative to itself, on every distribution alike
	install(TARGETS plugin_${name} LIBRARY DESTINATION lib/hookwire/plugins)
endfunction()

# conf/ as etc/hookwire/, with the paths of the installation: install_conf.cmake says how.
function(hw_install_conf)
	install(CODE "
		set(HW_CONF_SOURCE [[${PROJECT_SOURCE_DIR}/conf]])
		set(HW_CONF_STAGE [[${PROJECT_BINARY_DIR}/conf]])
		set(HW_SYSCONFDIR [[${CMAKE_INSTALL_SYSCONFDIR}]])")
	install(SCRIPT ${PROJECT_SOURCE_DIR}/cmake/install_conf.cmake)
endfunction()

# What plugins are built with: the header, for pkg-config hookwire-plugin.pc, for CMake a package (plugin/hookwireConfig.cmake).
# In lib and include below the prefix, whatever the distribution calls them: nothing here depends on the machine, and both
# files find the header relative to themselves. `cmake --install BUILD --component plugin-kit` installs it alone.
function(hw_install_plugin_kit)
	include(CMakePackageConfigHelpers)
	configure_file(cmake/plugin/hookwire-plugin.pc.in ${PROJECT_BINARY_DIR}/plugin-kit/hookwire-plugin.pc @ONLY)
	write_basic_package_version_file(${PROJECT_BINARY_DIR}/plugin-kit/hookwireConfigVersion.cmake
		VERSION ${PROJECT_VERSION} COMPATIBILITY SameMajorVersion ARCH_INDEPENDENT)
	install(FILES core/include/hookwire/plugin.h DESTINATION include/hookwire COMPONENT plugin-kit)
	install(FILES ${PROJECT_BINARY_DIR}/plugin-kit/hookwire-plugin.pc DESTINATION lib/pkgconfig COMPONENT plugin-kit)
	install(FILES cmake/plugin/hookwireConfig.cmake ${PROJECT_BINARY_DIR}/plugin-kit/hookwireConfigVersion.cmake
		DESTINATION lib/cmake/hookwire COMPONENT plugin-kit)
endfunction()
