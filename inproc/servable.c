/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which programs take in a preloaded library: dynamically linked ones whose privileges are their
 * caller's, and that make their system calls through the C library that it is made for.
 */
#include "inproc/servable.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPT_DEPTH 4

static bool read_at(int fd, void *to, size_t len, off_t at)
{
	return pread(fd, to, len, at) == (ssize_t)len;
}

static bool segment_of(int fd, const Elf64_Ehdr *elf, uint32_t type, Elf64_Phdr *ret)
{
	for (int i = 0; i < elf->e_phnum; i++)
		if (read_at(fd, ret, sizeof(*ret), elf->e_phoff + (off_t)i * elf->e_phentsize) &&
		    ret->p_type == type)
			return true;
	return false;
}

/* glibc's ld.so, which the library needs; other C libraries' have other names. */
static bool is_loader(int fd, const Elf64_Phdr *segment)
{
	static const char wanted[] = "ld-linux";
	char path[PATH_MAX] = "";
	const char *slash;

	if (segment->p_filesz >= sizeof(path) ||
	    !read_at(fd, path, segment->p_filesz, segment->p_offset))
		return false;
	slash = strrchr(path, '/');
	return slash && !strncmp(slash + 1, wanted, strlen(wanted));
}

/* Go programs bring their own system calls, even those that are linked dynamically. */
static bool is_go(int fd, const Elf64_Ehdr *elf)
{
	static const char wanted[] = ".go.buildinfo";
	char name[sizeof(wanted)];
	Elf64_Shdr names, section;

	if (elf->e_shstrndx == SHN_UNDEF ||
	    !read_at(fd, &names, sizeof(names),
		     elf->e_shoff + (off_t)elf->e_shstrndx * elf->e_shentsize))
		return false;
	for (int i = 0; i < elf->e_shnum; i++)
		if (read_at(fd, &section, sizeof(section),
			    elf->e_shoff + (off_t)i * elf->e_shentsize) &&
		    read_at(fd, name, sizeof(name), names.sh_offset + section.sh_name) &&
		    !memcmp(name, wanted, sizeof(wanted)))
			return true;
	return false;
}

static const char *elf_reason(int fd, const Elf64_Ehdr *elf)
{
	Elf64_Phdr interpreter;

	if (elf->e_ident[EI_CLASS] != ELFCLASS64)
		return "it is a 32-bit program";
	if (is_go(fd, elf))
		return "it is a Go program, which makes its system calls itself";
	if (!segment_of(fd, elf, PT_INTERP, &interpreter))
		return "it is linked statically";
	if (!is_loader(fd, &interpreter))
		return "it is linked with another C library than glibc";
	return NULL;
}

/* Also of what can be run and not be read. */
static const char *privilege_reason(const char *path)
{
	struct stat st;
	char capabilities[64];

	if (!stat(path, &st) && st.st_mode & (S_ISUID | S_ISGID))
		return "it is setuid or setgid";
	if (getxattr(path, "security.capability", capabilities, sizeof(capabilities)) > 0)
		return "it has file capabilities";
	return NULL;
}

/*
 * Programs that are made so that their connections get where the library cannot be: into processes that
 * confine themselves to a few system calls, by which the kernel kills them for ours, that clone() made
 * (vsftpd), or of other users (handover.h). Their files do not tell, but their names do.
 */
static const char *design_reason(const char *path)
{
	static const char confined[] = "it confines itself to few system calls (seccomp)";
	static const struct {
		const char *name, *why;
	} programs[] = {
		{ "sshd", confined },
		{ "sshd-auth", confined },
		{ "sshd-session", confined },
		{ "vsftpd", confined },
		{ "dovecot", "its connections go to processes of other users" },
	};
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (!strcmp(name, programs[i].name))
			return programs[i].why;
	return NULL;
}

/* "#!/path argument": the path. */
static bool interpreter_of(const char *line, char *to, size_t size)
{
	size_t len;

	line += 2;
	line += strspn(line, " \t");
	len = strcspn(line, " \t\n");
	if (!len || len >= size)
		return false;
	memcpy(to, line, len);
	to[len] = '\0';
	return true;
}

static const char *reason(const char *path, int depth)
{
	union {
		char text[256];
		Elf64_Ehdr elf;
	} head = { .text = "" };
	char interpreter[256];
	const char *why = privilege_reason(path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (!why)
		why = design_reason(path);
	/* Not ours to judge: exec will say what is wrong, and the library that it is there. */
	if (fd < 0)
		return why;
	if (!why && pread(fd, head.text, sizeof(head.text) - 1, 0) > 0 &&
	    !memcmp(head.text, ELFMAG, SELFMAG))
		why = elf_reason(fd, &head.elf);
	close(fd);
	if (!why && !strncmp(head.text, "#!", 2) && depth < SCRIPT_DEPTH &&
	    interpreter_of(head.text, interpreter, sizeof(interpreter)))
		return reason(interpreter, depth + 1);
	return why;
}

const char *servable_reason(const char *path)
{
	return reason(path, 0);
}

bool servable_is_unfit(void)
{
	char path[PATH_MAX];
	const ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[len > 0 ? len : 0] = '\0';
	return design_reason(path);
}
