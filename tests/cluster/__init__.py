"""Past one machine: Ray, a ledger on a server. They take longest and come early: no worker of the suite ends alone."""
