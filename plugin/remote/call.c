// SPDX-License-Identifier: GPL-2.0-only
/* Runs of calls, one by one. */
#include <errno.h>
#include <string.h>

#include "remote/remote.h"

/* The next of @run, as a call of its own. */
static struct remote_call next_of(const struct remote_call *run)
{
	struct remote_call call = *run;

	call.more = call.made = 0;
	if (run->more) {
		call.arg[call.data_arg - 1] = remote_call_number(run, run->made);
		call.data = (char *)call.data + (size_t)run->made * run->stride;
	}
	return call;
}

void remote_call_made(struct remote_call *run, const int64_t *results, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		if (results[i])
			run->result = results[i];
	if (run->results)
		memcpy(run->results + run->made, results, nr * sizeof(*results));
	/* Not all of it: as where nothing is mapped. */
	if (run->result >= 0 && remote_call_whole(run) && run->result != remote_call_whole(run))
		run->result = -EFAULT;
	run->made += nr;
	run->done = !remote_call_left(run) || remote_call_failed(run);
}

int remote_exec_each(struct remote *remote, struct remote_call *calls, size_t nr,
		     int64_t (*make)(struct remote *remote, const struct remote_call *call))
{
	for (size_t i = 0; i < nr; i++)
		while (remote_call_left(&calls[i])) {
			const struct remote_call call = next_of(&calls[i]);
			const int64_t result = make(remote, &call);

			remote_call_made(&calls[i], &result, 1);
			if (remote_call_failed(&calls[i]))
				return 0;
		}
	return 0;
}
