/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Registers and structures of the channel subsystem, docs/ccw-transport.md,
 * and what virtio.c uses of channel.c.
 */
#ifndef VIRTIO_CCW_X86_CHANNEL_H
#define VIRTIO_CCW_X86_CHANNEL_H

#include <linux/completion.h>
#include <linux/device.h>
#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>

enum {
	REG_ID = 0x00,
	REG_VERSION = 0x04,
	REG_OPERATION = 0x10,
	REG_NOTIFY = 0x18,
	REG_ISC_MASK = 0x20,
};
#define CSS_ID 0x57434347

#define STATUS_ISC 3
#define ADAPTER_ISC 2

enum operation {
	OP_MODIFY = 0xb232,
	OP_START = 0xb233,
	OP_STORE = 0xb234,
	OP_TEST = 0xb235,
	OP_TEST_PENDING = 0xb236,
};

struct operation_block {
	__be32 function, subchannel;
	__be64 operand, operand2;
	__be32 outcome, reserved;
	__be64 result;
};

struct pmcw {
	__be32 parameter;
	__be16 flags, devno;
	u8 path_mask, not_operational, last_used, installed;
	__be16 measurement;
	u8 operational, available, paths[8];
	__be32 characteristics;
};
#define PMCW_ENABLED 0x0080
#define PMCW_DEVNO_VALID 0x0001
#define PMCW_ISC_SHIFT 11

struct scsw {
	__be16 flags, control;
	__be32 ccw;
	u8 device_status, subchannel_status;
	__be16 residual;
};
#define SCSW_START 0x4000
#define SCSW_PRIMARY 0x0004
#define CHANNEL_END_DEVICE_END 0x0c
#define UNIT_CHECK 0x02

struct schib {
	struct pmcw pmcw;
	struct scsw scsw;
	u8 model_dependent[12];
};

struct irb {
	struct scsw scsw;
	u8 rest[84];
};

struct orb {
	__be32 parameter;
	__be16 flags;
	u8 path_mask, flags2;
	__be32 program;
	__be32 unused[5];
};
#define ORB_FORMAT1 0x0080

struct ccw {
	u8 command, flags;
	__be16 count;
	__be32 data;
};

struct interruption_code {
	__be32 subchannel, parameter, word;
};

enum ccw_command {
	CCW_WRITE_FEATURES = 0x11,
	CCW_READ_FEATURES = 0x12,
	CCW_SET_QUEUE = 0x13,
	CCW_WRITE_CONFIG = 0x21,
	CCW_READ_CONFIG = 0x22,
	CCW_WRITE_STATUS = 0x31,
	CCW_READ_QUEUE_CONFIG = 0x32,
	CCW_RESET = 0x33,
	CCW_SET_INDICATORS = 0x43,
	CCW_SET_CONFIG_INDICATORS = 0x53,
	CCW_READ_STATUS = 0x72,
	CCW_SET_ADAPTER_INDICATORS = 0x73,
	CCW_SET_REVISION = 0x83,
	CCW_SENSE_ID = 0xe4,
};
#define VIRTIO_CONTROL_UNIT 0x3832

/* What the device reads and writes: below 2 GiB, in one page for each subchannel. */
struct subchannel_area {
	struct orb orb;
	struct ccw ccw __aligned(8);
	struct schib schib;
	__be64 indicators __aligned(8); /* of the queues, either way */
	__be64 config_indicators;
	u8 data[1024] __aligned(8); /* of the command that runs */
};

/* What all subchannels share; used under css->lock. */
struct css_area {
	struct operation_block block;
	struct irb irb;
	struct interruption_code code;
	u8 summary; /* of the adapter interrupts */
};

struct css {
	struct device *dev;
	void __iomem *regs;
	int status_irq, adapter_irq;
	bool open; /* interrupts come */
	spinlock_t lock; /* one operation at a time */
	struct css_area *area;
	dma_addr_t area_dma;
	struct list_head subchannels; /* does not change while interrupts come */
};

struct subchannel {
	struct css *css;
	struct list_head node;
	u32 id; /* as operations want it */
	u16 devno;
	u8 model; /* of the control unit: the virtio device id */
	struct mutex mutex; /* one channel program at a time; data belongs to its holder */
	struct completion done;
	struct scsw end; /* how the program ended */
	struct subchannel_area *area;
	dma_addr_t area_dma;
	void (*look)(struct subchannel *sub); /* indicators may be set; not in process context */
	void *owner; /* virtio.c's */
};

static inline dma_addr_t subchannel_dma(struct subchannel *sub, const void *part)
{
	return sub->area_dma + ((const u8 *)part - (const u8 *)sub->area);
}

/*
 * Runs one command on area->data and waits for its end; with the mutex held.
 * 0, -EIO when the device refused the command, or another error.
 */
int subchannel_run(struct subchannel *sub, enum ccw_command command, u16 count);
/* After this, look() is called for each interrupt. */
int css_open(struct css *css);
void css_close(struct css *css);
struct css *css_find(struct device *dev, void __iomem *regs);
void css_release(struct css *css);

static inline void css_notify(struct subchannel *sub, u32 queue)
{
	writeq((u64)sub->id << 32 | queue, sub->css->regs + REG_NOTIFY);
}

#endif
