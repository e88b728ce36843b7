// SPDX-License-Identifier: GPL-2.0-only
/*
 * BPF programs, as make_programs.py has made them: linked, with the places that depend on the running kernel named. Those
 * are filled in here, so that the kernel searches for nothing: libbpf, and the kernel for a light skeleton, search all
 * types once for each that is named.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "probe/btf.h"
#include "probe/program.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum program_map { MAP_BSS, MAP_RODATA, NR_MAPS };

struct program_patch {
	unsigned short at; /* instruction */
	enum { PATCH_MAP, PATCH_FUNC, PATCH_VALUE } what;
	unsigned short which; /* map, name, value */
};

struct program {
	const char *name;
	unsigned short attach; /* name of the function that says what it is called for */
	const unsigned long long *code;
	size_t nr_code;
	const struct program_patch *patches;
	size_t nr_patches;
	const struct bpf_func_info *functions;
	size_t nr_functions;
};

#include "kvm_programs_code.h"

struct programs_bss *programs_bss;
static int maps[NR_MAPS] = { -1, -1 }, btf = -1;
static int loaded[NR_PROGRAMS]; /* fds, and one more; 0: not yet */
static unsigned int name_ids[COUNT(type_names)];
static struct btf_answer answers[COUNT(type_values)];

#define POISON 195896080 /* no helper: the verifier takes it where it is never reached. libbpf's number */
#define LOAD_TRIES 5	 /* the verifier ends with EAGAIN where a signal is pending */

/* All of it: the kernel refuses what is not 0 behind a command's own fields, and an initializer is of one member of a union. */
static void clear(union bpf_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
}

static int sys_bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	int fd = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return fd < 0 ? -errno : fd;
}

static uint64_t address(const void *at)
{
	return (uintptr_t)at;
}

/* One element of @size bytes. */
static int make_map(const char *name, size_t size, unsigned int flags)
{
	union bpf_attr attr;

	clear(&attr);
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = sizeof(uint32_t);
	attr.value_size = size;
	attr.max_entries = 1;
	attr.map_flags = flags;
	strncpy(attr.map_name, name, sizeof(attr.map_name) - 1);
	return sys_bpf(BPF_MAP_CREATE, &attr);
}

/* Frozen, as the verifier wants it of a string that a program compares with. */
static int make_rodata(void)
{
	int fd = make_map("kvm_rodata", sizeof(programs_rodata), BPF_F_RDONLY_PROG), ret;
	union bpf_attr attr, freeze;
	const uint32_t key = 0;

	if (fd < 0)
		return fd;
	clear(&attr);
	clear(&freeze);
	attr.key = address(&key);
	attr.value = address(programs_rodata);
	maps[MAP_RODATA] = attr.map_fd = freeze.map_fd = fd;
	ret = sys_bpf(BPF_MAP_UPDATE_ELEM, &attr);
	return ret ?: sys_bpf(BPF_MAP_FREEZE, &freeze);
}

static int make_bss(void)
{
	int fd = make_map("kvm_bss", sizeof(*programs_bss), BPF_F_MMAPABLE);
	void *bss;

	if (fd < 0)
		return fd;
	maps[MAP_BSS] = fd;
	bss = mmap(NULL, sizeof(*programs_bss), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bss == MAP_FAILED)
		return -errno;
	programs_bss = bss;
	return 0;
}

/* The names of functions alone: without them the verifier takes none that is called back. */
static int load_btf(void)
{
	union bpf_attr attr;
	int fd;

	clear(&attr);
	attr.btf = address(programs_btf);
	attr.btf_size = sizeof(programs_btf);
	fd = sys_bpf(BPF_BTF_LOAD, &attr);
	if (fd < 0)
		return fd;
	btf = fd;
	return 0;
}

/* What is attached to, and what is called. */
static int check_functions(void)
{
	for (size_t i = 0; i < COUNT(type_names); i++) {
		if (type_names[i].kind != BTF_KIND_FUNC || name_ids[i])
			continue;
		pr_err("this kernel has no function %s, which the BPF iterator needs\n", type_names[i].name);
		return -ENOENT;
	}
	return 0;
}

int programs_ask(void)
{
	const struct btf_query query = {
		.names = type_names,
		.steps = type_steps,
		.values = type_values,
		.nr_names = COUNT(type_names),
		.nr_values = COUNT(type_values),
	};

	return btf_ask("/sys/kernel/btf/vmlinux", &query, name_ids, answers) ?: check_functions();
}

int programs_open(void)
{
	return make_bss() ?: make_rodata() ?: load_btf();
}

void programs_close(void)
{
	for (size_t i = 0; i < NR_PROGRAMS; i++) {
		if (loaded[i])
			close(loaded[i] - 1);
		loaded[i] = 0;
	}
	for (size_t i = 0; i < NR_MAPS; i++) {
		if (maps[i] >= 0)
			close(maps[i]);
		maps[i] = -1;
	}
	if (btf >= 0)
		close(btf);
	btf = -1;
	if (programs_bss)
		munmap(programs_bss, sizeof(*programs_bss));
	programs_bss = NULL;
}

static unsigned char load_of(unsigned char code, unsigned int size)
{
	const unsigned char by_size[] = { [1] = BPF_B, [2] = BPF_H, [4] = BPF_W, [8] = BPF_DW };

	return (code & ~BPF_SIZE(0xff)) | by_size[size];
}

/* In what way depends on the instruction, as libbpf has it (bpf_core_patch_insn()). */
static int fill_in(struct bpf_insn *insn, const struct btf_value *value, const struct btf_answer *answer)
{
	if (!answer->known) {
		if (insn->code == (BPF_LD | BPF_IMM | BPF_DW))
			insn[1] = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = POISON };
		*insn = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = POISON };
		return 0;
	}
	switch (BPF_CLASS(insn->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		insn->imm = answer->value;
		return BPF_SRC(insn->code) == BPF_K ? 0 : -EINVAL;
	case BPF_LD:
		insn[0].imm = answer->value;
		insn[1].imm = 0;
		return insn->code == (BPF_LD | BPF_IMM | BPF_DW) ? 0 : -EINVAL;
	case BPF_LDX:
		if (answer->value > INT16_MAX || !answer->size || (answer->size & (answer->size - 1)))
			return -EINVAL;
		insn->off = answer->value;
		if (answer->size == value->size)
			return 0;
		insn->code = load_of(insn->code, answer->size);
		return answer->can_widen ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

static int patch(struct bpf_insn *code, const struct program *program)
{
	int ret = 0;

	for (size_t i = 0; i < program->nr_patches && !ret; i++) {
		const struct program_patch *one = &program->patches[i];

		if (one->what == PATCH_MAP)
			code[one->at].imm = maps[one->which];
		else if (one->what == PATCH_VALUE)
			ret = fill_in(&code[one->at], &type_values[one->which], &answers[one->which]);
		else
			code[one->at].imm = name_ids[one->which];
	}
	return ret;
}

/* With what the verifier says in @log, where that is not NULL. */
static int load(const struct program *program, char *log, size_t size)
{
	union bpf_attr attr;
	struct bpf_insn *code = malloc(program->nr_code * sizeof(*code));
	int ret;

	if (!code)
		return -ENOMEM;
	memcpy(code, program->code, program->nr_code * sizeof(*code));
	clear(&attr);
	attr.prog_type = BPF_PROG_TYPE_TRACING;
	attr.expected_attach_type = BPF_TRACE_ITER;
	attr.attach_btf_id = name_ids[program->attach];
	attr.insn_cnt = program->nr_code;
	attr.license = address("GPL");
	attr.prog_btf_fd = btf;
	attr.func_info = address(program->functions);
	attr.func_info_cnt = program->nr_functions;
	attr.func_info_rec_size = sizeof(*program->functions);
	attr.log_level = log ? 1 : 0;
	attr.log_buf = address(log);
	attr.log_size = size;
	strncpy(attr.prog_name, program->name, sizeof(attr.prog_name) - 1);
	attr.insns = address(code);
	ret = patch(code, program);
	if (!ret) {
		ret = -EAGAIN;
		for (unsigned int i = 0; i < LOAD_TRIES && ret == -EAGAIN; i++)
			ret = sys_bpf(BPF_PROG_LOAD, &attr);
	}
	free(code);
	return ret;
}

const char *program_name(enum program_id id)
{
	return programs[id].name;
}

int program_fd(enum program_id id)
{
	int fd;

	if (loaded[id])
		return loaded[id] - 1;
	fd = load(&programs[id], NULL, 0);
	if (fd >= 0)
		loaded[id] = fd + 1;
	return fd;
}

#define VERIFIER_LOG (2u << 20) /* bytes */
#define VERIFIER_TOLD (4u << 10) /* the end of it */

/* What the program asks of the kernel's types, and has not got: some of it is in kernels of another series. */
static void log_unknown(const struct program *program)
{
	for (size_t i = 0; i < program->nr_patches; i++) {
		const struct program_patch *one = &program->patches[i];
		const struct btf_value *value = &type_values[one->which];
		char member[64] = "";

		if (one->what != PATCH_VALUE || answers[one->which].known)
			continue;
		for (unsigned int step = 0; step < value->nr_steps; step++)
			snprintf(member + strlen(member), sizeof(member) - strlen(member), ".%s",
				 type_steps[value->first_step + step].member ?: "[]");
		pr_debug("%s: this kernel has no %s%s\n", program->name, type_names[value->name].name, member);
	}
}

void program_log(enum program_id id)
{
	char *buf = calloc(1, VERIFIER_LOG), *line, *rest;
	int fd;

	if (!buf)
		return;
	fd = load(&programs[id], buf, VERIFIER_LOG - 1);
	if (fd >= 0)
		close(fd);
	log_unknown(&programs[id]);
	rest = buf + (strlen(buf) > VERIFIER_TOLD ? strlen(buf) - VERIFIER_TOLD : 0);
	while ((line = strsep(&rest, "\n")))
		if (*line)
			pr_debug("verifier: %s\n", line);
	free(buf);
}
