// SPDX-License-Identifier: GPL-2.0-only
/* criu-kvm check: criu, and its plugins. */
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"

#define OUR_FILE "kvm_vgic_plugin.so"
#define CUDA_FILE "cuda_plugin.so"
/* With no GPU there the plugin switches itself off, in every CRIU that has it. */
#define CUDA_GPUS "/proc/driver/nvidia/gpus"

#ifdef __aarch64__
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_X86_64
#endif

/* What @command prints, as much of it as fits: false where it cannot be run. */
static bool output_of(const char *command, char *buf, size_t size)
{
	FILE *pipe = popen(command, "re");
	size_t got;

	if (!pipe)
		return false;
	got = fread(buf, 1, size - 1, pipe);
	buf[got] = 0;
	while (fgetc(pipe) != EOF)
		;
	return pclose(pipe) != -1 && got;
}

struct version {
	char text[64]; /* "": no criu answers */
	unsigned int major, minor;
	bool known; /* the numbers are */
};

/* Asked once: two checks want to know. */
static struct version find_version(void)
{
	static struct version v;
	static bool is_asked;
	char out[4096], *text = NULL;

	if (!is_asked && output_of("criu --version 2>/dev/null", out, sizeof(out)))
		text = strstr(out, "Version: ");
	is_asked = true;
	if (!text)
		return v;
	text += strlen("Version: ");
	text[strcspn(text, "\n")] = 0;
	snprintf(v.text, sizeof(v.text), "%s", text);
	v.known = sscanf(text, "%u.%u", &v.major, &v.minor) == 2;
	return v;
}

static bool is_before(const struct version *v, unsigned int major, unsigned int minor)
{
	return v->major < major || (v->major == major && v->minor < minor);
}

void check_criu(struct finding *f)
{
	struct version v = find_version();

	if (!*v.text)
		answer(f, ANSWER_NO, "install criu 4.1.1 or newer", "no criu in PATH, or none that answers to --version");
	else if (!v.known)
		answer(f, ANSWER_UNKNOWN, "tried are 4.1.1, 4.2.1 and 4.3", "version %s", v.text);
	else if (is_before(&v, 4, 1))
		answer(f, ANSWER_NO, "install criu 4.1.1 or newer", "version %s, which has not the hooks that are needed",
		       v.text);
	else if (!is_before(&v, 4, 4))
		answer(f, ANSWER_WARN, "tried are 4.1.1, 4.2.1 and 4.3: look for a newer plugin", "version %s", v.text);
	else
		answer(f, ANSWER_YES, NULL, "version %s", v.text);
}

/* As criu finds it: --libdir, then the environment, then the folder that --help names. false: it is not known. */
static bool find_libdir(char dir[PATH_MAX])
{
	const char *given = check_options.libdir ?: getenv("CRIU_LIBS_DIR"), *words = "path to a plugin directory (by default ";
	char help[32768], *at;

	if (given) {
		snprintf(dir, PATH_MAX, "%s", given);
		return true;
	}
	at = output_of("criu --help 2>/dev/null", help, sizeof(help)) ? strstr(help, words) : NULL;
	if (!at)
		return false;
	at += strlen(words);
	at[strcspn(at, ")\n")] = 0;
	snprintf(dir, PATH_MAX, "%.*s", (int)(strlen(at) - (*at && at[strlen(at) - 1] == '/')), at);
	return true;
}

/* 0, or why criu cannot load @path. */
static const char *why_not(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *why = NULL;
	Elf64_Ehdr header;

	if (fd < 0)
		return strerror(errno);
	if (read(fd, &header, sizeof(header)) != sizeof(header) || memcmp(header.e_ident, ELFMAG, SELFMAG))
		why = "no shared object";
	else if (header.e_machine != MACHINE)
		why = "of another architecture";
	close(fd);
	return why;
}

void check_plugin(struct finding *f)
{
	char dir[PATH_MAX], path[PATH_MAX + 32];
	const char *why;

	if (!find_libdir(dir)) {
		answer(f, ANSWER_UNKNOWN, "name the folder by --libdir", "criu does not say where it looks for plugins");
		return;
	}
	snprintf(path, sizeof(path), "%s/" OUR_FILE, dir);
	why = why_not(path);
	if (why)
		answer(f, ANSWER_NO, "install it there, or name its folder by criu's --libdir", "%s: %s", path, why);
	else
		answer(f, ANSWER_YES, NULL, "%s", path);
}

static bool is_plugin(const char *name)
{
	size_t len = strlen(name);

	return len >= 3 && !strcmp(name + len - 3, ".so") && strcmp(name, OUR_FILE);
}

/* The first other plugin by which this one may not be asked; of the others the names, in @names. */
static void look_at_others(DIR *folder, char *names, size_t size, bool *cuda)
{
	struct dirent *entry;

	while ((entry = readdir(folder))) {
		size_t n = strlen(names);

		if (!is_plugin(entry->d_name))
			continue;
		*cuda |= !strcmp(entry->d_name, CUDA_FILE);
		snprintf(names + n, size - n, "%s%s", n ? ", " : "", entry->d_name);
	}
}

/*
 * CRIU asks no further plugin when one has answered. cuda_plugin answers CHECKPOINT_DEVICES with 0 for processes that
 * have no CUDA (4.0 to 4.2.1), and which of the two comes first is the order of the folder.
 */
void check_other_plugins(struct finding *f)
{
	char dir[PATH_MAX], names[4096] = "";
	struct version v = find_version();
	bool cuda = false, gpu = !access(CUDA_GPUS, F_OK);
	DIR *folder;

	folder = find_libdir(dir) ? opendir(dir) : NULL;
	if (!folder) {
		answer(f, ANSWER_YES, NULL, "there is no folder of plugins");
		return;
	}
	look_at_others(folder, names, sizeof(names), &cuda);
	closedir(folder);
	if (cuda && gpu && (!v.known || is_before(&v, 4, 3)))
		answer(f, ANSWER_NO,
		       "take " CUDA_FILE " out of the folder, or give criu another by --libdir, for VMs",
		       "%s: with a GPU here " CUDA_FILE " answers for processes without CUDA too, and criu then does "
		       "not ask for their VMs",
		       names);
	else if (!gpu && !strcmp(names, CUDA_FILE))
		answer(f, ANSWER_YES, NULL, CUDA_FILE ", which is off: there is no NVIDIA GPU");
	else if (*names)
		answer(f, ANSWER_WARN,
		       "where a dump fails in one of them, or says that another plugin has answered: criu --libdir with this "
		       "one alone",
		       "%s", names);
	else
		answer(f, ANSWER_YES, NULL, "none");
}
