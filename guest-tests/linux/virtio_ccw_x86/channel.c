// SPDX-License-Identifier: GPL-2.0-only
/*
 * The channel subsystem: operations, single channel commands, enumeration,
 * interrupts. docs/ccw-transport.md.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/slab.h>

#include "channel.h"

#define SUBCHANNEL_ID 0x00010000
#define MAX_SUBCHANNELS 256
#define PATIENCE (20 * HZ)

/* With css->lock held. A condition code, or the exception. */
static u32 operate(struct css *css, enum operation function, u32 id, dma_addr_t operand)
{
	struct operation_block *block = &css->area->block;

	block->function = cpu_to_be32(function);
	block->subchannel = cpu_to_be32(id);
	block->operand = cpu_to_be64(operand);
	block->operand2 = 0;
	block->outcome = cpu_to_be32(~0u);
	writeq(css->area_dma + offsetof(struct css_area, block), css->regs + REG_OPERATION);
	return be32_to_cpu(READ_ONCE(block->outcome));
}

/* With css->lock held. */
static bool take_status(struct subchannel *sub)
{
	struct css *css = sub->css;
	u16 control;

	if (operate(css, OP_TEST, sub->id, css->area_dma + offsetof(struct css_area, irb)) != 0)
		return false;
	control = be16_to_cpu(css->area->irb.scsw.control);
	if ((control & SCSW_START) && (control & SCSW_PRIMARY)) {
		sub->end = css->area->irb.scsw;
		complete(&sub->done);
	}
	return true;
}

static void look(struct subchannel *sub)
{
	unsigned long flags;

	local_irq_save(flags);
	if (sub->look)
		sub->look(sub);
	local_irq_restore(flags);
}

/* Status that the device gave on its own is taken on the way. */
static int start(struct subchannel *sub)
{
	unsigned long flags;
	bool taken = false;
	u32 outcome;

	spin_lock_irqsave(&sub->css->lock, flags);
	while ((outcome = operate(sub->css, OP_START, sub->id, subchannel_dma(sub, &sub->area->orb))) == 1)
		taken |= take_status(sub);
	spin_unlock_irqrestore(&sub->css->lock, flags);
	if (taken)
		look(sub);
	return outcome == 0 ? 0 : -ENODEV;
}

/* Before css_open() nobody but us looks. */
static bool wait_for_end(struct subchannel *sub)
{
	unsigned long flags, give_up = jiffies + PATIENCE;
	bool taken;

	while (!wait_for_completion_timeout(&sub->done, sub->css->open ? HZ : 1)) {
		spin_lock_irqsave(&sub->css->lock, flags);
		taken = take_status(sub);
		spin_unlock_irqrestore(&sub->css->lock, flags);
		if (taken)
			look(sub);
		if (taken && sub->css->open)
			dev_warn(sub->css->dev, "0.0.%04x: an interrupt was lost\n", sub->devno);
		if (time_after(jiffies, give_up))
			return false;
	}
	return true;
}

int subchannel_run(struct subchannel *sub, enum ccw_command command, u16 count)
{
	struct subchannel_area *area = sub->area;
	int error;

	lockdep_assert_held(&sub->mutex);
	area->ccw = (struct ccw){
		.command = command,
		.count = cpu_to_be16(count),
		.data = cpu_to_be32(subchannel_dma(sub, area->data)),
	};
	area->orb = (struct orb){
		.parameter = cpu_to_be32(sub->id),
		.flags = cpu_to_be16(ORB_FORMAT1),
		.path_mask = 0x80,
		.program = cpu_to_be32(subchannel_dma(sub, &area->ccw)),
	};
	reinit_completion(&sub->done);
	error = start(sub);
	if (error)
		return error;
	if (!wait_for_end(sub))
		return -ETIMEDOUT;
	if (sub->end.device_status & UNIT_CHECK)
		return -EIO;
	if (sub->end.device_status != CHANNEL_END_DEVICE_END || sub->end.subchannel_status)
		return -EPROTO;
	return 0;
}

static int enable(struct subchannel *sub, bool on)
{
	struct schib *schib = &sub->area->schib;
	dma_addr_t at = subchannel_dma(sub, schib);
	unsigned long flags;
	u32 outcome;

	spin_lock_irqsave(&sub->css->lock, flags);
	outcome = operate(sub->css, OP_STORE, sub->id, at);
	if (outcome == 0) {
		sub->devno = be16_to_cpu(schib->pmcw.devno);
		schib->pmcw.parameter = cpu_to_be32(sub->id);
		schib->pmcw.flags = (schib->pmcw.flags & cpu_to_be16(PMCW_DEVNO_VALID)) |
				    cpu_to_be16(STATUS_ISC << PMCW_ISC_SHIFT | (on ? PMCW_ENABLED : 0));
		while ((outcome = operate(sub->css, OP_MODIFY, sub->id, at)) == 1)
			take_status(sub);
	}
	spin_unlock_irqrestore(&sub->css->lock, flags);
	return outcome == 0 ? 0 : -ENODEV;
}

static u8 control_unit_model(struct subchannel *sub)
{
	const u8 *identity = sub->area->data;
	u8 model = 0;

	mutex_lock(&sub->mutex);
	if (subchannel_run(sub, CCW_SENSE_ID, 7) == 0 && (identity[1] << 8 | identity[2]) == VIRTIO_CONTROL_UNIT)
		model = identity[3];
	mutex_unlock(&sub->mutex);
	return model;
}

static struct subchannel *find_subchannel(struct css *css, u32 number)
{
	struct subchannel *sub = devm_kzalloc(css->dev, sizeof(*sub), GFP_KERNEL);

	if (!sub)
		return NULL;
	sub->css = css;
	sub->id = SUBCHANNEL_ID + number;
	mutex_init(&sub->mutex);
	init_completion(&sub->done);
	sub->area = dmam_alloc_coherent(css->dev, sizeof(*sub->area), &sub->area_dma, GFP_KERNEL);
	if (!sub->area || enable(sub, true))
		return NULL;
	sub->model = control_unit_model(sub);
	return sub;
}

/* Test pending interruption until there is none, and test subchannel for each. */
static irqreturn_t status_interrupt(int irq, void *data)
{
	struct css *css = data;
	struct subchannel *sub;
	bool pending;

	do {
		struct subchannel *found = NULL;

		spin_lock(&css->lock);
		pending = operate(css, OP_TEST_PENDING, 0, css->area_dma + offsetof(struct css_area, code)) == 1;
		if (pending)
			list_for_each_entry(sub, &css->subchannels, node)
				if (sub->id == be32_to_cpu(css->area->code.subchannel) && take_status(sub))
					found = sub;
		spin_unlock(&css->lock);
		if (found && found->look)
			found->look(found);
	} while (pending);
	return IRQ_HANDLED; /* also when somebody else took it first */
}

/* The summary first, and then every device's own. */
static irqreturn_t adapter_interrupt(int irq, void *data)
{
	struct css *css = data;
	struct subchannel *sub;

	xchg(&css->area->summary, 0);
	list_for_each_entry(sub, &css->subchannels, node)
		if (sub->look)
			sub->look(sub);
	return IRQ_HANDLED;
}

/* An edge that meets a masked pin is lost, so the mask is opened last: that raises one for what pends. */
int css_open(struct css *css)
{
	int error = request_irq(css->status_irq, status_interrupt, 0, "ccw status", css);

	if (error)
		return error;
	error = request_irq(css->adapter_irq, adapter_interrupt, 0, "ccw adapter", css);
	if (error) {
		free_irq(css->status_irq, css);
		return error;
	}
	css->open = true;
	writel(0x80 >> STATUS_ISC | 0x80 >> ADAPTER_ISC, css->regs + REG_ISC_MASK);
	return 0;
}

void css_close(struct css *css)
{
	css->open = false;
	writel(0, css->regs + REG_ISC_MASK);
	free_irq(css->adapter_irq, css);
	free_irq(css->status_irq, css);
}

struct css *css_find(struct device *dev, void __iomem *regs)
{
	struct css *css = devm_kzalloc(dev, sizeof(*css), GFP_KERNEL);
	struct subchannel *sub;
	int error = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(31));
	u32 number;

	if (!css)
		return ERR_PTR(-ENOMEM);
	if (error)
		return ERR_PTR(error);
	if (readl(regs + REG_ID) != CSS_ID || readl(regs + REG_VERSION) != 1)
		return ERR_PTR(-ENODEV);
	css->dev = dev;
	css->regs = regs;
	spin_lock_init(&css->lock);
	INIT_LIST_HEAD(&css->subchannels);
	css->area = dmam_alloc_coherent(dev, sizeof(*css->area), &css->area_dma, GFP_KERNEL);
	if (!css->area)
		return ERR_PTR(-ENOMEM);
	for (number = 0; number < MAX_SUBCHANNELS; ++number) {
		sub = find_subchannel(css, number);
		if (!sub)
			break;
		list_add_tail(&sub->node, &css->subchannels);
	}
	return css;
}

void css_release(struct css *css)
{
	struct subchannel *sub;

	list_for_each_entry(sub, &css->subchannels, node)
		enable(sub, false);
}
