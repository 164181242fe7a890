import { Component } from '@angular/core';
import { bootstrapApplication } from '@angular/platform-browser';

@Component({ selector: 'shop-root', template: '<h1>Hello</h1>' })
class Shop {}

void bootstrapApplication(Shop);
