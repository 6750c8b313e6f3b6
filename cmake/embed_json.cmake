# A JSON file as a C array, without white space between its tokens, so that the broker serves it without any file.
#   cmake -DINPUT=docs/openapi.json -DNAME=api_openapi -DOUTPUT=….c -P embed_json.cmake
file(READ ${INPUT} json)
string(JSON kind ERROR_VARIABLE wrong TYPE "${json}")
if(wrong)
	message(FATAL_ERROR "${INPUT}: ${wrong}")
endif()

# CMake's lists give these three a meaning of their own: they travel as characters that JSON does not allow.
string(ASCII 1 semicolon)
string(ASCII 2 open)
string(ASCII 3 close)
string(REPLACE ";" "${semicolon}" json "${json}")
string(REPLACE "[" "${open}" json "${json}")
string(REPLACE "]" "${close}" json "${json}")
string(REGEX MATCHALL "\"([^\"\\]|\\\\.)*\"|[^\" \t\r\n]+" tokens "${json}")
list(JOIN tokens "" json)
string(REPLACE "${semicolon}" ";" json "${json}")
string(REPLACE "${open}" "[" json "${json}")
string(REPLACE "${close}" "]" json "${json}")

file(WRITE ${OUTPUT}.json "${json}")
file(READ ${OUTPUT}.json hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "((0x..,){16})" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"edge/api_docs.h\"\n\nconst unsigned char ${NAME}[] = {\n${bytes}\n};\nconst size_t ${NAME}_len = sizeof(${NAME});\n")
