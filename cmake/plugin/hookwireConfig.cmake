# find_package(hookwire): for plugins. Gives
#
#   hookwire::plugin             the include directory of <hookwire/plugin.h>; there is nothing to link
#   hookwire_add_plugin(NAME SOURCES...)   a module NAME.so as the broker loads it, installed to HOOKWIRE_PLUGIN_DIR
#   HOOKWIRE_PLUGIN_DIR          lib/hookwire/plugins: relative to the prefix, where the broker looks for bare names
#   HOOKWIRE_EXECUTABLE          the installed binary, for `hookwire check --plugin`
#
# All paths are relative to this file: the tree may be moved.
get_filename_component(_hookwire_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET hookwire::plugin)
	add_library(hookwire::plugin INTERFACE IMPORTED)
	set_target_properties(hookwire::plugin PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_hookwire_prefix}/include")
endif()

set(HOOKWIRE_PLUGIN_DIR lib/hookwire/plugins)
set(HOOKWIRE_EXECUTABLE "${_hookwire_prefix}/bin/hookwire")
unset(_hookwire_prefix)

function(hookwire_add_plugin name)
	add_library(${name} MODULE ${ARGN})
	target_link_libraries(${name} PRIVATE hookwire::plugin)
	# only what HW_PLUGIN_EXPORT marks is seen, so that two plugins never share a symbol
	set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden
		VISIBILITY_INLINES_HIDDEN ON)
	install(TARGETS ${name} LIBRARY DESTINATION ${HOOKWIRE_PLUGIN_DIR})
endfunction()
