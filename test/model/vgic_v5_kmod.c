// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model of a VGICv5 behind the real ioctls: KVM device type 16, which Linux 7.2 knows and only a host
 * with a GICv5 fills. What the model says is in vgic_v5_model.c; this file is what it needs of a kernel.
 *
 * The rules of other ioctls, that the first KVM_RUN wants the ISTs and that there is no new vCPU after CTRL_INIT, are
 * enforced by kretprobes. A GICv3 can be created beside it: to the rest of KVM there is no GIC.
 *
 * Module parameters are those of the next device that is created. Beside them, for tests:
 *	parameter fail				calls that fail, see parse_rule()
 *	/sys/kernel/debug/kvm-vgic-v5/calls	one a line, "1 GET IST: 0", by number of the device;
 *						a write empties it
 */
#include <linux/debugfs.h>
#include <linux/kprobes.h>
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>
#include <asm/kvm_emulate.h>
#include <asm/kvm_mmu.h>

#include "vgic_v5_model.c"

/* ---- functions of KVM that are not exported ---- */

static struct {
	typeof(kvm_register_device_ops) *kvm_register_device_ops;
	typeof(kvm_unregister_device_ops) *kvm_unregister_device_ops;
	typeof(kvm_trylock_all_vcpus) *kvm_trylock_all_vcpus;
	typeof(kvm_unlock_all_vcpus) *kvm_unlock_all_vcpus;
	typeof(kvm_read_guest) *kvm_read_guest;
	typeof(gfn_to_hva) *gfn_to_hva;
} fn;

#define LOOK_UP(name) (fn.name = (typeof(fn.name))lookup(#name))

/* What knows every name is not exported either. A kprobe finds it, and is never armed. */
static bool look_up_functions(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name", .flags = KPROBE_FLAG_DISABLED };
	unsigned long (*lookup)(const char *name);

	if (register_kprobe(&probe))
		return false;
	lookup = (typeof(lookup))probe.addr;
	unregister_kprobe(&probe);
	return LOOK_UP(kvm_register_device_ops) && LOOK_UP(kvm_unregister_device_ops) &&
	       LOOK_UP(kvm_trylock_all_vcpus) && LOOK_UP(kvm_unlock_all_vcpus) && LOOK_UP(kvm_read_guest) &&
	       LOOK_UP(gfn_to_hva);
}

/* ---- parameters of the model's host ---- */

struct bounded {
	u32 value, min, max;
};

static int set_bounded(const char *text, const struct kernel_param *param)
{
	struct bounded *bounded = param->arg;
	u32 value;
	int ret = kstrtou32(text, 0, &value);

	if (ret)
		return ret;
	if (value < bounded->min || value > bounded->max)
		return -ERANGE;
	bounded->value = value;
	return 0;
}

static int show_bounded(char *page, const struct kernel_param *param)
{
	const struct bounded *bounded = param->arg;

	return sysfs_emit(page, "%u\n", bounded->value);
}

static const struct kernel_param_ops bounded_ops = { .set = set_bounded, .get = show_bounded };

#define BOUNDED_PARAM(name, preset, min, max, text) \
	static struct bounded name = { preset, min, max }; \
	module_param_cb(name, &bounded_ops, &name, 0644); \
	MODULE_PARM_DESC(name, text)

BOUNDED_PARAM(id_bits, 16, 1, 24, "of the host's IRS_IDR2.ID_BITS: a new VM has 16 at most");
BOUNDED_PARAM(min_lpi_id_bits, 14, 1, 15, "IRS_IDR2.MIN_LPI_ID_BITS");
BOUNDED_PARAM(priority_bits, 5, 1, 5, "bits of a priority");
BOUNDED_PARAM(pa_range, 5, 0, 7, "IRS_IDR0.PA_RANGE");
BOUNDED_PARAM(nr_spis, 32, 0, 1024, "SPIs, where abi is v1");

static const char *const abi_names[] = { [MODEL_MERGED] = "merged", [MODEL_V1] = "v1" };
static enum model_abi abi;

static int set_abi(const char *text, const struct kernel_param *param)
{
	int i = sysfs_match_string(abi_names, text);

	if (i < 0)
		return i;
	abi = i;
	return 0;
}

static int show_abi(char *page, const struct kernel_param *param)
{
	return sysfs_emit(page, "%s\n", abi_names[abi]);
}

static const struct kernel_param_ops abi_ops = { .set = set_abi, .get = show_abi };
module_param_cb(abi, &abi_ops, NULL, 0644);
MODULE_PARM_DESC(abi, "merged (Linux 7.4) or v1 (the series of April 2026)");

/* ---- calls that a test wants to fail ---- */

#define MAX_RULES 16

static struct rule {
	char op[8];
	u32 group;
	bool any_attr, stays, used;
	u64 attr;
	int error;
} rules[MAX_RULES];
static size_t nr_rules;
static DEFINE_MUTEX(rules_lock);

/* "SET 11 * -12": operation (SET, GET, QUIESCE), group, attr, errno. It holds for one call, or with an x behind it for all. */
static int parse_rule(const char *text, struct rule *rule)
{
	char attr[24], x = 'x';
	int n = sscanf(text, "%7s %u %23s %d %c", rule->op, &rule->group, attr, &rule->error, &x);

	rule->stays = n == 5;
	rule->any_attr = n >= 4 && !strcmp(attr, "*");
	if (n < 4 || x != 'x' || rule->error >= 0 || rule->error < -MAX_ERRNO)
		return -EINVAL;
	if (strcmp(rule->op, "SET") && strcmp(rule->op, "GET") && strcmp(rule->op, "QUIESCE"))
		return -EINVAL;
	return rule->any_attr ? 0 : kstrtou64(attr, 0, &rule->attr);
}

/* Several are separated by semicolons; they take the place of those that were there. */
static int set_rules(const char *text, const struct kernel_param *param)
{
	char *copy __free(kfree) = kstrdup(text, GFP_KERNEL);
	char *rest = copy, *part;
	int ret = 0;

	if (!copy)
		return -ENOMEM;
	guard(mutex)(&rules_lock);
	memset(rules, 0, sizeof(rules));
	nr_rules = 0;
	while (!ret && (part = strsep(&rest, ";"))) {
		if (!*skip_spaces(part))
			continue;
		ret = nr_rules < MAX_RULES ? parse_rule(part, &rules[nr_rules++]) : -ENOSPC;
	}
	if (ret)
		nr_rules = 0;
	return ret;
}

static int show_rules(char *page, const struct kernel_param *param)
{
	const struct rule *rule;
	int n = 0;

	guard(mutex)(&rules_lock);
	for (rule = rules; rule < rules + nr_rules; rule++) {
		if (rule->used)
			continue;
		n += sysfs_emit_at(page, n, "%s%s %u ", n ? "; " : "", rule->op, rule->group);
		if (rule->any_attr)
			n += sysfs_emit_at(page, n, "*");
		else
			n += sysfs_emit_at(page, n, "%#llx", rule->attr);
		n += sysfs_emit_at(page, n, " %d%s", rule->error, rule->stays ? " x" : "");
	}
	return n + sysfs_emit_at(page, n, "\n");
}

static const struct kernel_param_ops rules_ops = { .set = set_rules, .get = show_rules };
module_param_cb(fail, &rules_ops, NULL, 0644);
MODULE_PARM_DESC(fail, "\"SET 11 * -12; GET 6 0xc656 -5 x\": calls that fail, once or with x always");

static int v5_fails(void *ctx, const char *op, u32 group, u64 attr)
{
	struct rule *rule;

	guard(mutex)(&rules_lock);
	for (rule = rules; rule < rules + nr_rules; rule++) {
		if (rule->used || strcmp(rule->op, op) || rule->group != group ||
		    (!rule->any_attr && rule->attr != attr))
			continue;
		rule->used = !rule->stays;
		return rule->error;
	}
	return 0;
}

/* ---- the record of calls ---- */

#define MAX_CALLS (1u << 20)
#define CALLS_FULL "full: later calls are not here\n"

static char *calls; /* MAX_CALLS, and room for CALLS_FULL */
static size_t calls_size;
static bool calls_full;
static DEFINE_MUTEX(calls_lock);

static void add_call(u32 device, const char *line)
{
	size_t room, n;

	guard(mutex)(&calls_lock);
	if (calls_full)
		return;
	room = MAX_CALLS - calls_size;
	n = snprintf(calls + calls_size, room, "%u %s\n", device, line);
	if (n >= room) {
		calls_full = true;
		n = sprintf(calls + calls_size, CALLS_FULL);
	}
	calls_size += n;
}

static ssize_t read_calls(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	guard(mutex)(&calls_lock);
	return simple_read_from_buffer(to, size, pos, calls, calls_size);
}

static ssize_t empty_calls(struct file *file, const char __user *from, size_t size, loff_t *pos)
{
	guard(mutex)(&calls_lock);
	calls_size = 0;
	calls_full = false;
	return size;
}

static const struct file_operations calls_fops = {
	.owner = THIS_MODULE,
	.read = read_calls,
	.write = empty_calls,
	.llseek = default_llseek,
};

/* ---- the model's environment ---- */

/* A device. */
struct v5 {
	struct model model;
	struct mutex lock; /* of the model, which has none; outside of kvm->lock and those of vCPUs */
	struct kvm *kvm;
	u32 number;
	u32 nr_vcpus;
};

static int v5_copy_in(void *ctx, void *to, u64 from, size_t size)
{
	return copy_from_user(to, u64_to_user_ptr(from), size) ? -EFAULT : 0;
}

static int v5_copy_out(void *ctx, u64 to, const void *from, size_t size)
{
	return copy_to_user(u64_to_user_ptr(to), from, size) ? -EFAULT : 0;
}

static int v5_guest_read(void *ctx, u64 gpa, void *to, size_t size)
{
	struct v5 *v5 = ctx;

	guard(srcu)(&v5->kvm->srcu);
	return fn.kvm_read_guest(v5->kvm, gpa, to, size);
}

/* kvm_write_guest() wants a running vCPU for the log of dirty pages, or KVM's own word that it is saving tables. */
static int v5_guest_write(void *ctx, u64 gpa, const void *from, size_t size)
{
	struct v5 *v5 = ctx;

	guard(srcu)(&v5->kvm->srcu);
	while (size) {
		size_t n = min(size, PAGE_SIZE - offset_in_page(gpa));
		unsigned long hva = fn.gfn_to_hva(v5->kvm, gpa_to_gfn(gpa));

		if (kvm_is_error_hva(hva) || v5_copy_out(ctx, hva + offset_in_page(gpa), from, n))
			return -EFAULT;
		gpa += n;
		from += n;
		size -= n;
	}
	return 0;
}

/* CTRL_INIT sizes what the model has for each vCPU: those that come later are none to it. */
static u32 v5_nr_vcpus(void *ctx)
{
	struct v5 *v5 = ctx;

	if (!v5->model.initialised)
		v5->nr_vcpus = atomic_read(&v5->kvm->online_vcpus);
	return v5->nr_vcpus;
}

static u32 v5_vcpu_id(void *ctx, u32 i)
{
	struct v5 *v5 = ctx;

	return kvm_get_vcpu(v5->kvm, i)->vcpu_id;
}

static u64 v5_vcpu_mpidr(void *ctx, u32 i)
{
	struct v5 *v5 = ctx;
	u64 mpidr = kvm_vcpu_get_mpidr_aff(kvm_get_vcpu(v5->kvm, i));

	return (mpidr >> 8 & 0xff000000) | (mpidr & 0x00ffffff);
}

static bool v5_lock_vcpus(void *ctx)
{
	struct v5 *v5 = ctx;

	mutex_lock(&v5->kvm->lock);
	if (!fn.kvm_trylock_all_vcpus(v5->kvm))
		return true;
	mutex_unlock(&v5->kvm->lock);
	return false;
}

static void v5_unlock_vcpus(void *ctx)
{
	struct v5 *v5 = ctx;

	fn.kvm_unlock_all_vcpus(v5->kvm);
	mutex_unlock(&v5->kvm->lock);
}

static bool any_vcpu_has_run(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu_has_run_once(vcpu))
			return true;
	return false;
}

static bool v5_has_run(void *ctx)
{
	struct v5 *v5 = ctx;

	return any_vcpu_has_run(v5->kvm);
}

static void *v5_alloc(size_t size)
{
	return kvzalloc(size, GFP_KERNEL_ACCOUNT);
}

static void v5_free(void *p)
{
	kvfree(p);
}

static void v5_record(void *ctx, const char *line)
{
	struct v5 *v5 = ctx;

	add_call(v5->number, line);
}

static const struct model_env v5_env = {
	.copy_in = v5_copy_in,
	.copy_out = v5_copy_out,
	.guest_read = v5_guest_read,
	.guest_write = v5_guest_write,
	.nr_vcpus = v5_nr_vcpus,
	.vcpu_id = v5_vcpu_id,
	.vcpu_mpidr = v5_vcpu_mpidr,
	.lock_vcpus = v5_lock_vcpus,
	.unlock_vcpus = v5_unlock_vcpus,
	.has_run = v5_has_run,
	.alloc = v5_alloc,
	.free = v5_free,
	.record = v5_record,
	.fails = v5_fails,
};

/* ---- the device ---- */

/* Called with kvm->lock and all vCPUs' locks. */
static int check_vm(struct kvm_device *dev)
{
	struct kvm *kvm = dev->kvm;
	struct kvm_device *other;
	struct kvm_vcpu *vcpu;
	unsigned long i;

	if (kvm->created_vcpus != atomic_read(&kvm->online_vcpus))
		return -EBUSY;
	if (irqchip_in_kernel(kvm))
		return -EEXIST;
	list_for_each_entry(other, &kvm->devices, vm_node)
		if (other->ops == dev->ops)
			return -EEXIST;
	if (any_vcpu_has_run(kvm))
		return -EBUSY;
	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu->vcpu_id >= MODEL_VCPUS)
			return -E2BIG;
	return 0;
}

static struct v5 *make_v5(struct kvm *kvm)
{
	static atomic_t last_number;
	const struct model_host host = {
		.abi = abi,
		.id_bits = id_bits.value,
		.min_lpi_id_bits = min_lpi_id_bits.value,
		.priority_bits = priority_bits.value,
		.pa_range = pa_range.value,
		.nr_spis = nr_spis.value,
		.ipa_bits = kvm_phys_shift(&kvm->arch.mmu),
	};
	struct v5 *v5 = kzalloc(sizeof(*v5), GFP_KERNEL_ACCOUNT);

	if (!v5)
		return NULL;
	v5->kvm = kvm;
	v5->number = atomic_inc_return(&last_number);
	mutex_init(&v5->lock);
	model_init(&v5->model, &host, &v5_env, v5);
	return v5;
}

/* struct kvm_device_ops has no owner: the device itself holds the module. */
static int v5_create(struct kvm_device *dev, u32 type)
{
	int ret;

	if (fn.kvm_trylock_all_vcpus(dev->kvm))
		return -EBUSY;
	ret = check_vm(dev);
	fn.kvm_unlock_all_vcpus(dev->kvm);
	if (ret)
		return ret;
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	dev->private = make_v5(dev->kvm);
	if (dev->private)
		return 0;
	module_put(THIS_MODULE);
	return -ENOMEM;
}

static void v5_destroy(struct kvm_device *dev)
{
	struct v5 *v5 = dev->private;

	model_fini(&v5->model);
	mutex_destroy(&v5->lock);
	kfree(v5);
	kfree(dev);
	module_put(THIS_MODULE);
}

static int v5_set_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct v5 *v5 = dev->private;

	guard(mutex)(&v5->lock);
	return model_set_attr(&v5->model, attr);
}

static int v5_get_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct v5 *v5 = dev->private;

	guard(mutex)(&v5->lock);
	return model_get_attr(&v5->model, attr);
}

static int v5_has_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct v5 *v5 = dev->private;

	guard(mutex)(&v5->lock);
	return model_has_attr(&v5->model, attr);
}

static const struct kvm_device_ops v5_ops = {
	.name = "kvm-arm-vgic-v5",
	.create = v5_create,
	.destroy = v5_destroy,
	.set_attr = v5_set_attr,
	.get_attr = v5_get_attr,
	.has_attr = v5_has_attr,
};

/* ---- rules of other ioctls ---- */

/* Devices of a VM are only added. */
static struct v5 *v5_of(struct kvm *kvm)
{
	struct kvm_device *dev;

	list_for_each_entry(dev, &kvm->devices, vm_node)
		if (dev->ops == &v5_ops)
			return dev->private;
	return NULL;
}

struct entered {
	struct kvm *kvm;
	struct kvm_vcpu *vcpu;
	unsigned int id;
};

/* kvm_arch_vcpu_run_pid_change(vcpu): of KVM_RUN, when vcpu->pid says still whether it is the first. */
static int run_entered(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct entered *entered = (struct entered *)probe->data;

	entered->vcpu = (struct kvm_vcpu *)regs_get_kernel_argument(regs, 0);
	return 0;
}

static int run_left(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct kvm_vcpu *vcpu = ((struct entered *)probe->data)->vcpu;
	struct v5 *v5 = v5_of(vcpu->kvm);
	int ret;

	if (!v5 || vcpu_has_run_once(vcpu) || regs_return_value(regs))
		return 0;
	ret = model_first_run(&v5->model, vcpu->vcpu_idx);
	if (ret) {
		WRITE_ONCE(vcpu->kvm->vm_dead, true);
		regs_set_return_value(regs, ret);
	}
	return 0;
}

/* kvm_arch_vcpu_precreate(kvm, id). */
static int precreate_entered(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct entered *entered = (struct entered *)probe->data;

	entered->kvm = (struct kvm *)regs_get_kernel_argument(regs, 0);
	entered->id = regs_get_kernel_argument(regs, 1);
	return 0;
}

static int precreate_left(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct entered *entered = (struct entered *)probe->data;
	struct v5 *v5 = v5_of(entered->kvm);

	if (!v5 || regs_return_value(regs))
		return 0;
	if (v5->model.initialised)
		regs_set_return_value(regs, -EBUSY);
	else if (entered->id >= MODEL_VCPUS)
		regs_set_return_value(regs, -EINVAL);
	return 0;
}

static struct kretprobe run_probe = {
	.kp.symbol_name = "kvm_arch_vcpu_run_pid_change",
	.entry_handler = run_entered,
	.handler = run_left,
	.data_size = sizeof(struct entered),
	.maxactive = 512, /* one missed is a rule not enforced: v5_unload() says so */
};

static struct kretprobe precreate_probe = {
	.kp.symbol_name = "kvm_arch_vcpu_precreate",
	.entry_handler = precreate_entered,
	.handler = precreate_left,
	.data_size = sizeof(struct entered),
	.maxactive = 512,
};

static struct kretprobe *probes[] = { &run_probe, &precreate_probe };

/* ---- the module ---- */

static struct dentry *debugfs_dir;

static int __init v5_load(void)
{
	int ret;

	if (!look_up_functions())
		return -ENOENT;
	calls = kvmalloc(MAX_CALLS + sizeof(CALLS_FULL), GFP_KERNEL);
	if (!calls)
		return -ENOMEM;
	ret = register_kretprobes(probes, ARRAY_SIZE(probes));
	if (!ret) {
		ret = fn.kvm_register_device_ops(&v5_ops, KVM_DEV_TYPE_ARM_VGIC_V5);
		if (ret)
			unregister_kretprobes(probes, ARRAY_SIZE(probes));
	}
	if (ret) {
		kvfree(calls);
		return ret;
	}
	debugfs_dir = debugfs_create_dir("kvm-vgic-v5", NULL);
	debugfs_create_file("calls", 0600, debugfs_dir, NULL, &calls_fops);
	return 0;
}

static void __exit v5_unload(void)
{
	debugfs_remove(debugfs_dir);
	fn.kvm_unregister_device_ops(KVM_DEV_TYPE_ARM_VGIC_V5);
	unregister_kretprobes(probes, ARRAY_SIZE(probes));
	WARN_ON(run_probe.nmissed || precreate_probe.nmissed);
	/* The last v5_destroy() may still be between its module_put() and its return. */
	synchronize_rcu_tasks();
	kvfree(calls);
}

module_init(v5_load);
module_exit(v5_unload);
MODULE_DESCRIPTION("A model of KVM's VGICv5 device, for tests");
MODULE_LICENSE("GPL");
