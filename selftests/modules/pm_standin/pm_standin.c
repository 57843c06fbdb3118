// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that refuses each system-wide power transition in its last phase, when all
 * devices have been suspended: they are resumed at once, and the machine never sleeps.
 */
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/pm.h>

static struct platform_device *standin_pdev;

static int standin_refuse(struct device *dev)
{
	return -EBUSY;
}

static const struct dev_pm_ops standin_pm_ops = {
	.suspend_noirq = standin_refuse,
	.freeze_noirq = standin_refuse,
};

static int standin_probe(struct platform_device *pdev)
{
	return 0;
}

static struct platform_driver standin_driver = {
	.driver.name = "pm_standin",
	.driver.pm = &standin_pm_ops,
};

static int __init standin_init(void)
{
	standin_pdev = platform_create_bundle(&standin_driver, standin_probe,
					      NULL, 0, NULL, 0);
	return PTR_ERR_OR_ZERO(standin_pdev);
}

static void __exit standin_exit(void)
{
	platform_device_unregister(standin_pdev);
	platform_driver_unregister(&standin_driver);
}

module_init(standin_init);
module_exit(standin_exit);

MODULE_DESCRIPTION("A device that keeps the machine awake, for the tests of l3l2q");
MODULE_AUTHOR("l3l2q maintainers");
MODULE_LICENSE("GPL");
