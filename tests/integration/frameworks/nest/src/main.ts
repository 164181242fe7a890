import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

@Controller()
class Colours {
  @Get()
  index() {
    return 'Hello from Nest';
  }
}

@Module({ controllers: [Colours] })
class Shop {}

async function main() {
  const app = await NestFactory.create(Shop);
  await app.listen(process.env.PORT ?? 3000);
}

void main();
