from setuptools import find_packages, setup

REQUIRES = ["tornado>=6.4", "psycopg2==2.9.10"]

setup(name="clock", version="1.0", packages=find_packages(), install_requires=REQUIRES)
