// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtio devices on subchannels: virtio 1.2, section 4.3, as docs/ccw-transport.md
 * has it; revisions 1 and 2.
 */
#include <linux/acpi.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "channel.h"

#define MAX_QUEUES 64
#define MAX_REVISION 2

static bool classic;
module_param(classic, bool, 0444);
MODULE_PARM_DESC(classic, "classic indicators instead of adapter interrupts");

struct ccw_device {
	struct virtio_device vdev;
	struct subchannel *sub;
	u16 revision;
	u8 status; /* written last; a device of revision 1 does not tell its own */
	spinlock_t lock; /* queues, against interrupts */
	struct virtqueue *queues[MAX_QUEUES];
};

struct queue_data {
	__be64 descriptors;
	__be32 reserved;
	__be16 index, size;
	__be64 driver, device;
};

struct adapter_data {
	__be64 summary, indicators, bit;
	u8 isc;
} __packed;

struct feature_data {
	__le32 features;
	u8 index;
} __packed;

static struct ccw_device *to_ccw(struct virtio_device *vdev)
{
	return container_of(vdev, struct ccw_device, vdev);
}

/* A command whose data is copied in before and out after it. */
static int run(struct ccw_device *device, enum ccw_command command, void *data, u16 count)
{
	struct subchannel *sub = device->sub;
	int error;

	if (count > sizeof(sub->area->data))
		return -EINVAL;
	mutex_lock(&sub->mutex);
	if (count)
		memcpy(sub->area->data, data, count);
	error = subchannel_run(sub, command, count);
	if (count && !error)
		memcpy(data, sub->area->data, count);
	mutex_unlock(&sub->mutex);
	return error;
}

static void complain(struct ccw_device *device, const char *what, int error)
{
	if (error)
		dev_err(&device->vdev.dev, "%s: error %d\n", what, error);
}

static void read_config(struct virtio_device *vdev, unsigned int offset, void *to, unsigned int length)
{
	struct ccw_device *device = to_ccw(vdev);
	struct subchannel *sub = device->sub;
	int error = -EINVAL;

	memset(to, 0, length);
	mutex_lock(&sub->mutex);
	if (offset + length <= sizeof(sub->area->data))
		error = subchannel_run(sub, CCW_READ_CONFIG, offset + length);
	if (!error)
		memcpy(to, sub->area->data + offset, length);
	mutex_unlock(&sub->mutex);
	complain(device, "read configuration", error);
}

/* It is written from its start, so what stands before the field is read first. */
static void write_config(struct virtio_device *vdev, unsigned int offset, const void *from, unsigned int length)
{
	struct ccw_device *device = to_ccw(vdev);
	struct subchannel *sub = device->sub;
	int error = -EINVAL;

	mutex_lock(&sub->mutex);
	if (offset + length <= sizeof(sub->area->data))
		error = subchannel_run(sub, CCW_READ_CONFIG, offset + length);
	if (!error) {
		memcpy(sub->area->data + offset, from, length);
		error = subchannel_run(sub, CCW_WRITE_CONFIG, offset + length);
	}
	mutex_unlock(&sub->mutex);
	complain(device, "write configuration", error);
}

static u8 read_status(struct virtio_device *vdev)
{
	struct ccw_device *device = to_ccw(vdev);
	u8 status;

	if (device->revision < 2 || run(device, CCW_READ_STATUS, &status, 1))
		return device->status;
	return status;
}

static void write_status(struct virtio_device *vdev, u8 status)
{
	struct ccw_device *device = to_ccw(vdev);
	int error = run(device, CCW_WRITE_STATUS, &status, 1);

	/* A refused one shows in the status, where the core looks after FEATURES_OK. */
	if (!error)
		device->status = status;
}

static void reset(struct virtio_device *vdev)
{
	struct ccw_device *device = to_ccw(vdev);
	int error, tries = 10;

	while ((error = run(device, CCW_RESET, NULL, 0)) == -EIO && --tries)
		msleep(100); /* requests in flight did not end in time */
	complain(device, "reset", error);
	device->status = 0;
	synchronize_irq(device->sub->css->status_irq);
	synchronize_irq(device->sub->css->adapter_irq);
}

static u64 read_features(struct virtio_device *vdev)
{
	struct feature_data half[2] = { { .index = 0 }, { .index = 1 } };

	if (run(to_ccw(vdev), CCW_READ_FEATURES, &half[0], sizeof(half[0])) ||
	    run(to_ccw(vdev), CCW_READ_FEATURES, &half[1], sizeof(half[1])))
		return 0;
	return le32_to_cpu(half[0].features) | (u64)le32_to_cpu(half[1].features) << 32;
}

static int write_features(struct virtio_device *vdev)
{
	u8 index;

	vring_transport_features(vdev);
	if (!__virtio_test_bit(vdev, VIRTIO_F_VERSION_1))
		return -EINVAL;
	for (index = 0; index < 2; ++index) {
		struct feature_data half = {
			.features = cpu_to_le32((u32)(vdev->features >> (32 * index))),
			.index = index,
		};
		int error = run(to_ccw(vdev), CCW_WRITE_FEATURES, &half, sizeof(half));

		if (error)
			return error;
	}
	return 0;
}

static bool notify(struct virtqueue *queue)
{
	css_notify(to_ccw(queue->vdev)->sub, queue->index);
	return true;
}

/* Of both kinds: the same 64 bits, numbered from the right or from the left. */
static void look(struct subchannel *sub)
{
	struct ccw_device *device = sub->owner;
	u64 bits = be64_to_cpu((__force __be64)xchg((__force u64 *)&sub->area->indicators, 0));
	bool configuration = xchg((__force u64 *)&sub->area->config_indicators, 0) != 0;
	unsigned int n;

	spin_lock(&device->lock);
	while (bits) {
		n = __ffs64(bits);
		bits &= bits - 1;
		if (!classic)
			n = 63 - n;
		if (device->queues[n])
			vring_interrupt(0, device->queues[n]);
	}
	spin_unlock(&device->lock);
	if (configuration)
		virtio_config_changed(&device->vdev);
}

static int set_queue(struct ccw_device *device, unsigned int index, struct virtqueue *queue)
{
	struct queue_data data = { .index = cpu_to_be16(index) };

	if (queue) {
		data.size = cpu_to_be16(virtqueue_get_vring_size(queue));
		data.descriptors = cpu_to_be64(virtqueue_get_desc_addr(queue));
		data.driver = cpu_to_be64(virtqueue_get_avail_addr(queue));
		data.device = cpu_to_be64(virtqueue_get_used_addr(queue));
	}
	return run(device, CCW_SET_QUEUE, &data, sizeof(data));
}

static void publish(struct ccw_device *device, unsigned int index, struct virtqueue *queue)
{
	unsigned long flags;

	spin_lock_irqsave(&device->lock, flags);
	device->queues[index] = queue;
	spin_unlock_irqrestore(&device->lock, flags);
}

static void delete_queues(struct virtio_device *vdev)
{
	struct ccw_device *device = to_ccw(vdev);
	struct virtqueue *queue, *next;

	list_for_each_entry_safe(queue, next, &vdev->vqs, list) {
		publish(device, queue->index, NULL);
		if (device->status) /* a reset has given it up already */
			complain(device, "give up queue", set_queue(device, queue->index, NULL));
		vring_del_virtqueue(queue);
	}
}

static struct virtqueue *make_queue(struct ccw_device *device, unsigned int index, vq_callback_t *callback, const char *name,
				    bool context)
{
	__be16 limit[2] = { cpu_to_be16(index), 0 };
	struct virtqueue *queue;
	int error;

	if (index >= MAX_QUEUES)
		return ERR_PTR(-ENOENT);
	error = run(device, CCW_READ_QUEUE_CONFIG, limit, sizeof(limit));
	if (error)
		return ERR_PTR(error);
	if (!limit[1])
		return ERR_PTR(-ENOENT);
	queue = vring_create_virtqueue(index, be16_to_cpu(limit[1]), PAGE_SIZE, &device->vdev, true, true, context, notify,
				       callback, name);
	if (!queue)
		return ERR_PTR(-ENOMEM);
	error = set_queue(device, index, queue);
	if (error) {
		vring_del_virtqueue(queue);
		return ERR_PTR(error);
	}
	publish(device, index, queue);
	return queue;
}

/* A reset has switched all of them off. */
static int set_indicators(struct ccw_device *device)
{
	struct subchannel *sub = device->sub;
	__be64 indicators = cpu_to_be64(subchannel_dma(sub, &sub->area->indicators));
	__be64 config_indicators = cpu_to_be64(subchannel_dma(sub, &sub->area->config_indicators));
	struct adapter_data adapter = {
		.summary = cpu_to_be64(sub->css->area_dma + offsetof(struct css_area, summary)),
		.indicators = indicators,
		.isc = ADAPTER_ISC,
	};
	int error = run(device, CCW_SET_CONFIG_INDICATORS, &config_indicators, sizeof(config_indicators));

	if (error)
		return error;
	if (classic)
		return run(device, CCW_SET_INDICATORS, &indicators, sizeof(indicators));
	return run(device, CCW_SET_ADAPTER_INDICATORS, &adapter, sizeof(adapter));
}

static int find_queues(struct virtio_device *vdev, unsigned int count, struct virtqueue *queues[], vq_callback_t *callbacks[],
		       const char *const names[], const bool *context, struct irq_affinity *affinity)
{
	struct ccw_device *device = to_ccw(vdev);
	unsigned int i, index = 0;
	int error;

	for (i = 0; i < count; ++i) {
		queues[i] = NULL;
		if (!names[i])
			continue;
		queues[i] = make_queue(device, index++, callbacks[i], names[i], context && context[i]);
		if (IS_ERR(queues[i])) {
			error = PTR_ERR(queues[i]);
			goto failed;
		}
	}
	error = set_indicators(device);
	if (!error)
		return 0;
failed:
	delete_queues(vdev);
	return error;
}

static void synchronize(struct virtio_device *vdev)
{
	synchronize_irq(to_ccw(vdev)->sub->css->status_irq);
	synchronize_irq(to_ccw(vdev)->sub->css->adapter_irq);
}

static const char *bus_name(struct virtio_device *vdev)
{
	return dev_name(to_ccw(vdev)->sub->css->dev);
}

static const struct virtio_config_ops operations = {
	.get = read_config,
	.set = write_config,
	.get_status = read_status,
	.set_status = write_status,
	.reset = reset,
	.find_vqs = find_queues,
	.del_vqs = delete_queues,
	.synchronize_cbs = synchronize,
	.get_features = read_features,
	.finalize_features = write_features,
	.bus_name = bus_name,
};

static int set_revision(struct ccw_device *device)
{
	int error = -EIO;

	for (device->revision = MAX_REVISION; device->revision > 0; --device->revision) {
		__be16 data[2] = { cpu_to_be16(device->revision), 0 };

		error = run(device, CCW_SET_REVISION, data, sizeof(data));
		if (error != -EIO)
			break;
	}
	return error;
}

static void release(struct device *dev)
{
	kfree(to_ccw(dev_to_virtio(dev)));
}

static void add_device(struct subchannel *sub)
{
	struct ccw_device *device = kzalloc(sizeof(*device), GFP_KERNEL);
	int error;

	if (!device)
		return;
	device->sub = sub;
	device->vdev.dev.parent = sub->css->dev;
	device->vdev.dev.release = release;
	device->vdev.config = &operations;
	device->vdev.id.vendor = VIRTIO_CONTROL_UNIT;
	device->vdev.id.device = sub->model;
	spin_lock_init(&device->lock);
	error = set_revision(device);
	if (error) {
		dev_err(sub->css->dev, "0.0.%04x: no revision: error %d\n", sub->devno, error);
		kfree(device);
		return;
	}
	sub->owner = device;
	smp_store_release(&sub->look, look);
	error = register_virtio_device(&device->vdev);
	if (error) {
		dev_err(sub->css->dev, "0.0.%04x: error %d\n", sub->devno, error);
		smp_store_release(&sub->look, NULL);
		synchronize(&device->vdev);
		put_device(&device->vdev.dev);
		return;
	}
	dev_info(sub->css->dev, "0.0.%04x: virtio device %u, revision %u\n", sub->devno, sub->model, device->revision);
}

static int probe(struct platform_device *platform)
{
	void __iomem *regs = devm_platform_ioremap_resource(platform, 0);
	struct subchannel *sub;
	struct css *css;
	int error;

	if (IS_ERR(regs))
		return PTR_ERR(regs);
	css = css_find(&platform->dev, regs);
	if (IS_ERR(css))
		return PTR_ERR(css);
	css->status_irq = platform_get_irq(platform, 0);
	css->adapter_irq = platform_get_irq(platform, 1);
	if (css->status_irq < 0 || css->adapter_irq < 0)
		return -ENXIO;
	error = css_open(css);
	if (error)
		return error;
	platform_set_drvdata(platform, css);
	list_for_each_entry(sub, &css->subchannels, node)
		if (sub->model)
			add_device(sub);
	return 0;
}

static int remove(struct platform_device *platform)
{
	struct css *css = platform_get_drvdata(platform);
	struct subchannel *sub;

	list_for_each_entry(sub, &css->subchannels, node) {
		struct ccw_device *device = sub->owner;

		if (!sub->look)
			continue;
		get_device(&device->vdev.dev);
		unregister_virtio_device(&device->vdev);
		smp_store_release(&sub->look, NULL);
		synchronize(&device->vdev);
		put_device(&device->vdev.dev);
	}
	css_close(css);
	css_release(css);
	return 0;
}

static const struct acpi_device_id ids[] = {
	{ "GWCC0001", 0 },
	{}
};
MODULE_DEVICE_TABLE(acpi, ids);

static struct platform_driver ccw_platform_driver = {
	.probe = probe,
	.remove = remove,
	.driver = {
		.name = "virtio_ccw_x86",
		.acpi_match_table = ids,
	},
};
module_platform_driver(ccw_platform_driver);

MODULE_DESCRIPTION("virtio over channel I/O on x86");
MODULE_LICENSE("GPL");
