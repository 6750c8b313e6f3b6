#include "hook/plugin_image.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#if __SIZEOF_POINTER__ == 8
#define CLASS ELFCLASS64
#else
#define CLASS ELFCLASS32
#endif

/* Whether offset .. offset + size is inside of the file. */
static bool inside(uint64_t offset, uint64_t size, size_t file_size)
{
	return offset <= file_size && size <= file_size - offset;
}

int hw_plugin_image_check(struct hw_str image, struct hw_err *err)
{
	ElfW(Ehdr) header;
	ElfW(Phdr) segment;
	size_t n_loads = 0;

	if (image.len < sizeof(header) || memcmp(image.p, ELFMAG, SELFMAG) != 0)
		return hw_err_set(err, -EINVAL, "not a shared object (ELF)");
	memcpy(&header, image.p, sizeof(header));
	if (header.e_ident[EI_CLASS] != CLASS || header.e_type != ET_DYN ||
		header.e_phentsize != sizeof(segment))
		return hw_err_set(
			err, -EINVAL, "not a shared object (ELF) of this kind of machine");
	if (!inside(header.e_phoff, (uint64_t)header.e_phnum * sizeof(segment), image.len))
		return hw_err_set(err, -EINVAL, "the file is incomplete: install it with a rename");
	for (size_t i = 0; i < header.e_phnum; i++) {
		memcpy(&segment, image.p + header.e_phoff + i * sizeof(segment), sizeof(segment));
		if (segment.p_type != PT_LOAD)
			continue;
		n_loads++;
		if (!inside(segment.p_offset, segment.p_filesz, image.len))
			return hw_err_set(
				err, -EINVAL, "the file is incomplete: install it with a rename");
	}
	return n_loads > 0 ? 0
			   : hw_err_set(err, -EINVAL, "a shared object (ELF) with nothing to load");
}
