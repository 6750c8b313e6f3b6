# Installs conf/ as SYSCONFDIR/hookwire; run by `cmake --install`, which knows the prefix.
#  - An operator's file is never overwritten: what is shipped is put beside it as NAME.new when the two differ.
#  - The sources name policies by ../scripts; installed, these are in share/hookwire. The path stays relative where the
#    configuration is below the prefix, so that the whole tree can be moved.
#  - The systemd unit and the proxies' files are written for /usr/local, and get the paths of this installation.
# Given: CMAKE_INSTALL_PREFIX, HW_CONF_SOURCE (conf/ of the sources), HW_CONF_STAGE (a directory to write in),
# HW_SYSCONFDIR ("etc", or an absolute path).
cmake_path(ABSOLUTE_PATH HW_SYSCONFDIR BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}" NORMALIZE OUTPUT_VARIABLE etc)
set(share "${CMAKE_INSTALL_PREFIX}/share/hookwire")

file(GLOB_RECURSE files RELATIVE "${HW_CONF_SOURCE}" "${HW_CONF_SOURCE}/*")
foreach(file ${files})
	cmake_path(GET file PARENT_PATH dir)
	cmake_path(GET file FILENAME name)
	cmake_path(APPEND etc hookwire "${dir}" OUTPUT_VARIABLE target)
	string(REGEX REPLACE "/$" "" target "${target}")
	file(READ "${HW_CONF_SOURCE}/${file}" text)

	if(IS_ABSOLUTE "${HW_SYSCONFDIR}")
		string(REGEX REPLACE "(\\.\\./)+scripts/" "${share}/" text "${text}")
	else()
		string(REPLACE "../scripts/" "../../share/hookwire/" text "${text}")
	endif()
	if(name MATCHES "\\.(service|conf|cfg)$")
		string(REPLACE "/usr/local/etc/" "${etc}/" text "${text}")
		string(REPLACE "/usr/local" "${CMAKE_INSTALL_PREFIX}" text "${text}")
	endif()

	set(theirs "$ENV{DESTDIR}${target}/${name}")
	if(EXISTS "${theirs}")
		file(READ "${theirs}" now)
		if(NOT now STREQUAL text)
			string(APPEND name ".new")
			message(STATUS "Keeping: ${theirs}, the shipped one is ${name}")
		endif()
	endif()
	file(WRITE "${HW_CONF_STAGE}/${dir}/${name}" "${text}")
	file(INSTALL "${HW_CONF_STAGE}/${dir}/${name}" DESTINATION "${target}")
endforeach()
