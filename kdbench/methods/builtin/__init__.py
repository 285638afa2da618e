"""The methods that come with kdbench, one file each, named as the method is."""
