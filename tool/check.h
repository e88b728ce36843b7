/* SPDX-License-Identifier: GPL-2.0-only */
/* criu-kvm check: one question, and its answer. */
#ifndef KVM_VGIC_TOOL_CHECK_H
#define KVM_VGIC_TOOL_CHECK_H

#include "tool.h"

enum answer {
	ANSWER_YES,
	ANSWER_WARN,	/* yes, but */
	ANSWER_NO,
	ANSWER_UNKNOWN, /* it could not be found out */
};

/* What is found, and what to do where it is not yes; both for free(), @advice may be NULL. */
struct finding {
	enum answer answer;
	char *found, *advice;
};

/* Sets one; @advice is a constant. */
void answer(struct finding *f, enum answer answer, const char *advice, const char *format, ...)
	__attribute__((__format__(__printf__, 4, 5)));

struct check_options {
	const char *libdir; /* of criu --libdir; NULL: where criu looks by itself */
	pid_t pid;	    /* 0: no process */
	bool json;
};
extern struct check_options check_options;

/* The questions. */
void check_architecture(struct finding *f);
void check_criu(struct finding *f);
void check_plugin(struct finding *f);
void check_other_plugins(struct finding *f);
void check_kvm(struct finding *f);
void check_gic(struct finding *f);
void check_kernel(struct finding *f);
void check_btf(struct finding *f);
void check_lockdown(struct finding *f);
void check_bpf(struct finding *f);
void check_capabilities(struct finding *f);
void check_page_size(struct finding *f);
void check_io_uring(struct finding *f);
void check_process(struct finding *f);
void check_process_io_uring(struct finding *f);

#endif
